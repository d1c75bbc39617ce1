// A host of MCP Apps made of the official parts: the SDK's client and the AppBridge. Tests call window.host.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { AppBridge, PostMessageTransport, getToolUiResourceUri } from "@modelcontextprotocol/ext-apps/app-bridge";

const MIME_TYPE = "text/html;profile=mcp-app";
const EXTENSION = "io.modelcontextprotocol/ui";
/** What a host commonly offers to a view. */
const CAPABILITIES = { openLinks: {}, serverTools: {}, logging: {} };

const host = {
  /** Everything that the view has sent, in order. */
  received: [],
  links: [],
  downloads: [],
  tool: null,
  document: null,

  /** Forget everything, and end what is still going on. */
  async leave() {
    this.received = [];
    this.links = [];
    this.downloads = [];
    this.frame = null;
    document.body.replaceChildren();
    delete document.documentElement.dataset.theme;
    const client = this.client;
    this.client = null;
    await client?.close();
  },

  async connect({ url, key }) {
    this.client = new Client(
      { name: "test-host", version: "1.0.0" },
      { capabilities: { extensions: { [EXTENSION]: { mimeTypes: [MIME_TYPE] } } } },
    );
    const requestInit = { headers: { Authorization: `Bearer ${key}` } };
    await this.client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
    const { tools } = await this.client.listTools();
    this.tool = tools.find((tool) => getToolUiResourceUri(tool));
    [this.document] = (await this.client.readResource({ uri: getToolUiResourceUri(this.tool) })).contents;
    if (this.document.mimeType !== MIME_TYPE) throw new Error(`not a view: ${this.document.mimeType}`);
  },

  async open({ sandbox, context = {}, capabilities = CAPABILITIES }) {
    const csp = this.document._meta?.ui?.csp ?? {};
    const frame = document.createElement("iframe");
    frame.id = "sandbox";
    frame.src = `${sandbox}/sandbox.html?csp=${encodeURIComponent(JSON.stringify(csp))}`;
    if (context.theme) document.documentElement.dataset.theme = context.theme;
    document.body.replaceChildren(frame);
    this.frame = frame;
    const bridge = new AppBridge(this.client, { name: "test-host", version: "1.0.0" }, capabilities, { hostContext: context });
    this.bridge = bridge;
    bridge.onopenlink = async ({ url }) => { this.links.push(url); return {}; };
    bridge.ondownloadfile = async ({ contents }) => { this.downloads.push(...contents); return {}; };
    bridge.onrequestdisplaymode = async ({ mode }) => ({ mode });
    bridge.addEventListener("sizechange", ({ height }) => { if (height) frame.style.height = `${height}px`; });
    const ready = new Promise((resolve) => bridge.addEventListener("sandboxready", resolve));
    const initialized = new Promise((resolve) => bridge.addEventListener("initialized", resolve));
    await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
    await ready;
    await bridge.sendSandboxResourceReady({ html: this.document.text, csp });
    await initialized;
  },

  /** A call of generate by the model, shown in the view. */
  async generate(args) {
    await this.bridge.sendToolInput({ arguments: args });
    const onprogress = (progress) =>
      this.bridge.notification({ method: "notifications/progress", params: { progressToken: 0, ...progress } });
    const result = await this.client.callTool({ name: this.tool.name, arguments: args }, { onprogress, timeout: 60_000 });
    await this.bridge.sendToolResult(result);
    return result;
  },

  /** Any message to the view, as a host that errs would send it. */
  send(message) {
    this.frame.contentWindow.postMessage(message, "*");
  },

  /** The calls of tools that the view has asked for. */
  get calls() {
    return this.received.filter(({ method }) => method === "tools/call").map(({ params }) => params);
  },
};

addEventListener("message", ({ data, source }) => {
  if (host.frame && source === host.frame.contentWindow) host.received.push(data);
});
window.host = host;
