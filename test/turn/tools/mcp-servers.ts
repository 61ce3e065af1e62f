/** MCP servers for tests: a real one from npm, over both transports, and one that misbehaves. */
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { McpServerConfig } from "../../../src/protocol/mcp-servers.ts";

const EVERYTHING = fileURLToPath(
  new URL("../../../node_modules/@modelcontextprotocol/server-everything/dist/index.js", import.meta.url),
);
const FIXTURE = fileURLToPath(new URL("mcp-fixture.ts", import.meta.url));

export const everything: McpServerConfig = {
  command: process.execPath,
  args: [EVERYTHING, "stdio"],
  startup_timeout_sec: 30,
};
export const fixture = (mode: string, cwd: string, rest: Partial<McpServerConfig> = {}): McpServerConfig => ({
  command: process.execPath,
  args: [FIXTURE, mode, cwd],
  startup_timeout_sec: 30,
  ...rest,
});

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return address.port;
}

export async function overHttp(t: TestContext): Promise<string> {
  const port = await freePort();
  const env = { ...process.env, PORT: String(port) };
  const child = spawn(process.execPath, [EVERYTHING, "streamableHttp"], { env, stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (chunk: Buffer) => chunk.toString().includes("listening") && resolve());
    child.once("exit", () => reject(new Error("the server ended")));
  });
  return `http://127.0.0.1:${port}/mcp`;
}
