/** OpenCode as the agent that the runner starts and gives its turns to. */
import { OpenCode } from "./opencode/opencode.ts";
import { PromptRunner } from "./prompt.ts";
import type { Agent, AgentStart } from "./runner.ts";

/** Begins to start OpenCode. `healthy` rejects when it does not become so. */
export function startOpenCodeAgent({ config, tracer, parent, workspace, workspaceReady, tell }: AgentStart): {
  readonly agent: Agent;
  readonly healthy: Promise<unknown>;
} {
  const { modelAccess, captureContent, stuckTurnMs } = config;
  const opencode = new OpenCode({ workspace, modelAccess, tracer, workspaceReady });
  const turns = new PromptRunner({
    ...{ agent: opencode, tracer, captureContent, stuckTurnMs, defaultModel: modelAccess.model },
    ...{ workspace, env: process.env },
    onPart: (attemptId, part) => tell({ type: "part", attemptId, part }),
    onStep: (attemptId, state, span) =>
      tell({ type: "workflow-step", attemptId, state, ...(span !== undefined && { span }) }),
    onAsked: (asked) => tell(asked),
  });
  return { agent: { turns, stop: () => opencode.stop() }, healthy: opencode.ready(parent) };
}
