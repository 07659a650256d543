/** An MCP client for tests, which starts the real `valet mcp`. */
import { resolve } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const CLI = resolve(import.meta.dirname, "../bin.ts");

export interface Called {
  /** The whole text. */
  readonly text: string;
  readonly data: Record<string, unknown> | undefined;
  readonly isError: boolean;
  /** The bytes of the whole result as JSON. */
  readonly bytes: number;
}

export class TestClient {
  readonly client: Client;
  readonly pid: number;
  /** What the process wrote to standard error. */
  readonly log: () => string;

  private constructor(client: Client, pid: number, log: () => string) {
    this.client = client;
    this.pid = pid;
    this.log = log;
  }

  /** Starts `valet mcp` on a state directory and initializes the connection. */
  static async start(stateDir: string, args: readonly string[] = []): Promise<TestClient> {
    const transport = new StdioClientTransport({
      command: process.execPath,
      args: [CLI, "--state", stateDir, "mcp", ...args],
      stderr: "pipe",
    });
    let log = "";
    transport.stderr?.on("data", (chunk) => (log += chunk));
    const client = new Client({ name: "test", version: "1.0.0" });
    await client.connect(transport);
    return new TestClient(client, transport.pid as number, () => log);
  }

  /** Calls a tool. The SDK checks structured results against the tool's schema once the tools were listed. */
  async call(name: string, args: Record<string, unknown> = {}): Promise<Called> {
    const result = await this.client.callTool({ name, arguments: args });
    const content = result.content as { type: string; text: string }[];
    return {
      text: content.map(({ text }) => text).join("\n"),
      data: result.structuredContent as Record<string, unknown> | undefined,
      isError: result.isError === true,
      bytes: Buffer.byteLength(JSON.stringify(result)),
    };
  }

  close(): Promise<void> {
    return this.client.close();
  }
}
