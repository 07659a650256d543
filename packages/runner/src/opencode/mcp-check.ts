/**
 * What became of the MCP servers that a repository configures. OpenCode connects them all before it answers, waits up to 30 s
 * for each, and goes on without those that failed: their tools are missing, and nothing says so.
 */
import { endWith } from "@valet/shared/outcome";
import type { ValetSpans } from "@valet/shared/spans";
import type { SpanContext, Tracer } from "@valet/shared/tracing";
import type { OpenCodeClient } from "./client.ts";

/** Longer than OpenCode gives its servers unless their configuration says otherwise. */
const TIMEOUT_MS = 120_000;
/** Others are somebody's text rather than a name. */
const NAME = /^[\w.:-]{1,64}$/;

export interface McpCheckOptions {
  readonly client: OpenCodeClient;
  readonly tracer: Tracer<ValetSpans>;
  /** The start of OpenCode, which does not wait for its servers. */
  readonly start: SpanContext;
  /** A server did not start or did not answer. */
  onFailed(): void;
  nowMs(): number;
}

/** Has OpenCode connect the servers and records each of them, in traces of their own. Never rejects. */
export async function checkMcpServers({ client, tracer, start, onFailed, nowMs }: McpCheckOptions): Promise<void> {
  const startTime = nowMs();
  // An OpenCode that ends meanwhile has no servers.
  const servers = await client.mcpServers(TIMEOUT_MS).catch(() => new Map<string, string>());
  for (const [name, status] of servers) {
    if (status === "disabled") continue;
    const span = tracer.startSpan("valet.agent.mcp_connect", {
      startTime,
      attributes: { "valet.mcp.server.name": NAME.test(name) ? name : "other" },
      links: [{ context: start, attributes: { "valet.link.type": "caused_by" } }],
    });
    if (status === "connected") {
      endWith(span, "ok", undefined, nowMs());
    } else {
      endWith(span, "error", "mcp_server_failed", nowMs());
      onFailed();
    }
  }
}
