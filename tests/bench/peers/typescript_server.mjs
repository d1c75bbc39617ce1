// A server made with the official TypeScript SDK on node:http: stateless, by its low-level interface.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, Server } from '@modelcontextprotocol/server';

const MODERN = '2026-07-28';
const content = JSON.parse(readFileSync(process.env.BENCH_CONTENT, 'utf8'));
const upstream = process.env.RUNFLOW_API_URL;
const enableJsonResponse = process.env.BENCH_STREAMS !== '1';
// Milliseconds between two polls, and the share that jitter takes off, as in the product.
const POLL = 2000;
const JITTER = 0.1;

const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

async function generate(args, authorization, token, notify) {
    const headers = { authorization, 'content-type': 'application/json' };
    const body = JSON.stringify({ input: args.input, client_ref: args.client_ref });
    let run = await (await fetch(`${upstream}/v1/models/${args.model}/runs`, { method: 'POST', headers, body })).json();
    for (let polls = 1; run.status_code !== 'succeeded'; polls++) {
        await sleep(POLL * (1 - JITTER * Math.random()));
        run = await (await fetch(`${upstream}/v1/runs/${run.id}`, { headers: { authorization } })).json();
        if (token !== undefined) {
            const message = `${run.status_code}, ${polls} polls`;
            await notify({ method: 'notifications/progress', params: { progressToken: token, progress: polls, message } });
        }
    }
    const { id, status_code, client_ref, output } = run;
    return { run_id: id, status: status_code, model: args.model, client_ref, outputs: [{ url: output.url }], output };
}

function makeServer() {
    const server = new Server(
        { name: 'Runflow', version: '1' },
        { capabilities: { tools: {}, prompts: {} }, instructions: content.instructions }
    );
    server.setRequestHandler('tools/list', () => ({ tools: content.tools }));
    server.setRequestHandler('prompts/list', () => ({ prompts: content.prompts }));
    server.setRequestHandler('tools/call', async (request, context) => {
        const { name, arguments: args, _meta } = request.params;
        const structuredContent =
            name === 'list_models'
                ? content.list_models[args.limit]
                : await generate(
                      args,
                      context.http.req.headers.get('authorization'),
                      _meta?.progressToken ?? context.mcpReq?._meta?.progressToken,
                      notification => context.mcpReq.notify(notification)
                  );
        return { content: [{ type: 'text', text: JSON.stringify(structuredContent) }], structuredContent };
    });
    return server;
}

const modern = toNodeHandler(createMcpHandler(makeServer, { legacy: 'reject' }));

async function legacy(request, response) {
    const server = makeServer();
    const transport = new NodeStreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse });
    response.on('close', () => {
        transport.close();
        server.close();
    });
    await server.connect(transport);
    await transport.handleRequest(request, response);
}

createServer((request, response) =>
    request.headers['mcp-protocol-version'] === MODERN ? modern(request, response) : legacy(request, response)
).listen({ port: Number(process.env.MCP_PORT), host: '127.0.0.1', backlog: 16384 });
