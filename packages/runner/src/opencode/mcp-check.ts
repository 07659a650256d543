/**
 * Checks the MCP servers in a repository's configuration. OpenCode connects to all of them before it answers, waits up to 30 s
 * for each, and silently continues without the tools of those that failed.
 */
import { endWith } from "@valet/shared/outcome";
import type { ValetSpans } from "@valet/shared/spans";
import type { SpanContext, Tracer } from "@valet/shared/tracing";
import type { OpenCodeClient } from "./client.ts";

/** Longer than OpenCode's default timeout for its servers. */
const TIMEOUT_MS = 120_000;
/** Other names may contain content. */
const NAME = /^[\w.:-]{1,64}$/;

export interface McpCheckOptions {
  readonly client: OpenCodeClient;
  readonly tracer: Tracer<ValetSpans>;
  /** The start of OpenCode, which does not wait for its servers. */
  readonly start: SpanContext;
  /** Called if a server did not start or did not answer. */
  onFailed(): void;
  nowMs(): number;
}

/** Makes OpenCode connect to the servers, and records each one in a separate trace. Never rejects. */
export async function checkMcpServers({ client, tracer, start, onFailed, nowMs }: McpCheckOptions): Promise<void> {
  const startTime = nowMs();
  // If OpenCode ends in the meantime, there are no servers to record.
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
