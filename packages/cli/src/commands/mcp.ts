import type { Command } from "commander";
import { connect, type GlobalOptions } from "../context.ts";

interface McpOptions extends GlobalOptions {
  readonly write?: boolean;
}

const HELP = `
A coding agent starts this itself: it speaks the Model Context Protocol on standard
input and output, until its input ends. Without --write nothing can be changed.

Examples (docs/valet-skill.md has more, for OpenCode too):
  claude mcp add valet -- pnpm --silent --dir /path/to/valet valet mcp
  VALET_URL=https://valet.example.com VALET_TOKEN=… valet mcp --write

Exit codes: 0 the input has ended; 2 usage or environment error.`;

export function addMcp(program: Command): void {
  program
    .command("mcp")
    .description("answer a coding agent: attention, now, why, turns and traces as tools of an MCP server")
    .option("--write", "also send messages, answer requests, abort, hibernate, wake, terminate and delete")
    .addHelpText("after", HELP)
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<McpOptions>();
      // Loaded here, so that other commands start without it.
      const { serveMcp } = await import("../mcp/server.ts");
      const version = program.version() ?? "";
      await serveMcp({ version, mayWrite: options.write ?? false, connect: () => connect(options) });
    });
}
