// Hosts on the TypeScript SDKs: does steps against servers and prints what it saw, one JSON text a line.
// Reads one step a line: {"step", "sdk": v1, v1.11 or v2, "era": legacy or auto, "url": the server's, "key"}, and prints
// "done" after each.

import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const packages = { v1: "@modelcontextprotocol/sdk", "v1.11": "sdk-1.11" };
const load = async (sdk) =>
  sdk in packages
    ? {
        ...(await import(`${packages[sdk]}/client/index.js`)),
        ...(await import(`${packages[sdk]}/client/streamableHttp.js`)),
      }
    : await import("@modelcontextprotocol/client");
const print = (seen) => console.log(JSON.stringify(seen));

// The two SDKs differ in where the options of a call stand.
const call = (client, params, settings) =>
  client.old ? client.callTool(params, undefined, settings) : client.callTool(params, settings);

const order = { name: "generate", arguments: { model: "google/nano-banana-2", input: { prompt: "a lighthouse" } } };

const steps = {
  async meet(client, transport) {
    const { tools } = await client.listTools();
    const { prompts } = await client.listPrompts();
    const found = await call(client, { name: "list_models", arguments: { category: "solution" } });
    const prompt = await client.getPrompt({
      name: "smart-resize",
      arguments: { image_url: "https://example.com/a.png" },
    });
    const { completion } = await client.complete({
      ref: { type: "ref/prompt", name: "smart-resize" },
      argument: { name: "resolution", value: "2" },
    });
    print({
      server: client.getServerVersion().name,
      version: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion,
      instructions: client.getInstructions(),
      tools: tools.map((tool) => tool.name),
      prompts: prompts.map((prompt) => prompt.name),
      found: found.structuredContent,
      prompt: prompt.messages[0].content.text,
      values: completion.values,
    });
  },

  async read(client) {
    const { resources } = await client.listResources();
    const { resourceTemplates } = await client.listResourceTemplates();
    const [models] = resourceTemplates.map((template) => template.uriTemplate);
    const { completion } = await client.complete({
      ref: { type: "ref/resource", uri: models },
      argument: { name: "slug", value: "smart-r" },
      context: { arguments: { provider: "runflow" } },
    });
    const read = async (uri) => (await client.readResource({ uri })).contents[0];
    const ran = await call(client, order);
    print({
      resources: resources.map((resource) => resource.uri),
      templates: resourceTemplates.map((template) => template.uriTemplate),
      slugs: completion.values,
      skill: await read("skill://runflow/SKILL.md"),
      model: await read(models.replace("{provider}", "runflow").replace("{+slug}", completion.values[0])),
      run: await read(`runflow-run://${ran.structuredContent.run_id}`),
      link: await read(ran.structuredContent.outputs[0].url),
      outputs: ran.structuredContent.outputs,
      unknown: await read("runflow-run://no-such-run").catch((error) => error.code),
    });
  },

  // Reading a skill with this client checks its size, digest and front matter against its entry.
  async skills(client) {
    const { SkillsClient } = await import("@modelcontextprotocol/client/ext/skills");
    const skills = new SkillsClient(client);
    const listing = await skills.list();
    const file = await skills.read(listing.skills[0]);
    print({
      supported: skills.supported,
      skills: listing.skills,
      verified: file.verified,
      frontmatter: file.frontmatter,
      got: (await skills.get(listing.skills[0].uri)).skill,
      unknown: await skills.get("skill://other/SKILL.md").catch((error) => error.code),
    });
  },

  // The call takes longer than its time-out, which each sign of progress puts off.
  async run(client) {
    await client.listTools();
    const notifications = [];
    const settings = { timeout: 400, resetTimeoutOnProgress: true, onprogress: (progress) => notifications.push(progress) };
    const began = performance.now();
    const result = await call(client, order, settings);
    print({ result, progress: notifications, timeout: settings.timeout, took: performance.now() - began });
  },

  // Once it knows a tool's output schema, an SDK judges every structured answer by it, errors as well.
  async error(client) {
    await client.listTools();
    print({ result: await call(client, order) });
  },

  // A time-out of the client's own closes the stream.
  async leave(client) {
    const slow = { name: "generate", arguments: { model: "sandbox/slow", input: {} } };
    await call(client, slow, { timeout: 300 }).catch((error) => print({ error: error.message }));
    await lines.next();
  },

  async listen(client) {
    client.setNotificationHandler("notifications/prompts/list_changed", async () => {
      const { prompts } = await client.listPrompts();
      print({ prompts: prompts.map((prompt) => prompt.name) });
    });
    const subscription = await client.listen({ promptsListChanged: true, toolsListChanged: true });
    print({ honoured: subscription.honoredFilter });
    print({ closed: await subscription.closed });
  },
};

async function perform({ step, sdk, era, url, key }) {
  const { Client, StreamableHTTPClientTransport } = await load(sdk);
  const options = sdk === "v2" ? { versionNegotiation: { mode: era } } : {};
  const client = Object.assign(new Client({ name: "host", version: "0" }, options), { old: sdk in packages });
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers: { Authorization: `Bearer ${key}` } },
  });
  try {
    await client.connect(transport);
    await steps[step](client, transport);
  } catch (error) {
    print({ error: error.message });
  } finally {
    await client.close();
  }
  print("done");
}

for (let line = await lines.next(); !line.done; line = await lines.next()) await perform(JSON.parse(line.value));
process.exit(0);
