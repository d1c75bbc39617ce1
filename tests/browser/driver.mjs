// Chromium and a host page for the tests of the browser: one process, driven by one JSON text a line.
//
// Reads {"script": "…", "values": {…}}: the body of an async function, run with page, view (the frame of the result
// view), record (what the page did) and the values by name. Writes {"value": …} or {"error": "…"}. The first line that
// it writes has the origin of the host page. It ends when its input does.

import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const FOLDER = import.meta.dirname;
const TYPES = { ".html": "text/html; charset=utf-8", ".mjs": "text/javascript", ".js": "text/javascript" };
/** Milliseconds for one step, such as waiting for an element; what happens here takes a tenth of a second. */
const PATIENCE = 15_000;

/** The policy that the specification has hosts build from the declared origins (apps.mdx, "CSP Enforcement"). */
function policy(csp) {
  const media = (csp.resourceDomains ?? []).join(" ");
  return [
    "default-src 'none'",
    `script-src 'self' 'unsafe-inline' ${media}`,
    `style-src 'self' 'unsafe-inline' ${media}`,
    `img-src 'self' data: ${media}`,
    `font-src 'self' ${media}`,
    `media-src 'self' data: ${media}`,
    `connect-src 'self' ${(csp.connectDomains ?? []).join(" ")}`,
    "frame-src 'self'",
    "object-src 'none'",
    "base-uri 'self'",
  ].join("; ");
}

function serve() {
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://host");
    const headers = { "Content-Type": TYPES[extname(url.pathname)] ?? "text/plain" };
    if (url.pathname === "/sandbox.html") headers["Content-Security-Policy"] = policy(JSON.parse(url.searchParams.get("csp")));
    else headers["Cache-Control"] = "max-age=3600";
    const file = createReadStream(join(FOLDER, normalize(url.pathname)));
    file.on("open", () => { response.writeHead(200, headers); file.pipe(response); });
    file.on("error", () => response.writeHead(404).end());
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${server.address().port}`)));
}

// The frame that holds the view has another origin than the host.
const [origin, sandbox] = await Promise.all([serve(), serve()]);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM });
/** The pages, by whether they run scripts. */
const pages = new Map();
const AsyncFunction = (async () => {}).constructor;
const record = {};
let page, view;

/** Forget everything. The page stays, since the host page has a hundred modules to load; its frames go. */
async function reset({ size = { width: 900, height: 900 }, media = {}, javaScriptEnabled = true } = {}) {
  if (!pages.has(javaScriptEnabled)) pages.set(javaScriptEnabled, await openPage(javaScriptEnabled));
  page = pages.get(javaScriptEnabled);
  if (javaScriptEnabled) await page.evaluate(() => window.host?.leave());
  Object.assign(record, { requests: [], errors: [], complaints: [], dialogs: [] });
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme: null, ...media });
  view = page.frameLocator("#sandbox").frameLocator("#view");
}

async function openPage(javaScriptEnabled) {
  const opened = await (await browser.newContext({ javaScriptEnabled })).newPage();
  opened.setDefaultTimeout(PATIENCE);
  opened.on("request", (request) => {
    const frame = request.frame();
    record.requests.push({ url: request.url(), fromView: Boolean(frame.parentFrame()?.parentFrame()) });
  });
  opened.on("console", (said) => { if (said.type() === "error") record.complaints.push(said.text()); });
  opened.on("pageerror", (error) => record.errors.push(String(error)));
  opened.on("dialog", (dialog) => { record.dialogs.push(dialog.message()); dialog.dismiss(); });
  return opened;
}

async function answer({ script, values }) {
  try {
    const names = { page, view, record, reset, origin, sandbox, ...values };
    const run = new AsyncFunction(...Object.keys(names), script);
    return { value: (await run(...Object.values(names))) ?? null };
  } catch (error) {
    return { error: String(error.stack ?? error) };
  }
}

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
say({ origin });
for await (const line of createInterface({ input: process.stdin })) say(await answer(JSON.parse(line)));
await browser.close();
process.exit(0);
