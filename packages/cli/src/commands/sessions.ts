import type { Command } from "commander";
import { connect, type GlobalOptions, print, printJson } from "../context.ts";

export function addSessions(program: Command): void {
  program
    .command("sessions")
    .description("list the sessions, the newest first")
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const sessions = await connect(options).sessions();
      if (options.json) {
        printJson({ sessions });
        return;
      }
      if (sessions.length === 0) print("No sessions yet.");
      for (const { id, status, agent, queueLength, createdAt, title, repoUrl } of sessions) {
        const queued = queueLength > 0 ? `, ${queueLength} queued` : "";
        print([id, `${status} (${agent}${queued})`.padEnd(24), createdAt, title ?? repoUrl ?? ""].join("  ").trimEnd());
      }
    });
}
