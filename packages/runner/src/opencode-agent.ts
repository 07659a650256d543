/** Starts OpenCode as the runner's agent, with the tools through which it calls the runner. */
import { createHash } from "node:crypto";
import { stuckLimits } from "@valet/shared/limits";
import type { ShellAnswer, ShellRef } from "@valet/shared/protocol/agent-shell";
import type { ChildSessionAnswer, ToolCall } from "@valet/shared/protocol/child-sessions";
import { contextHeaders } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { PLUGIN } from "./installed-files.ts";
import { JobRunner } from "./jobs/job-runner.ts";
import { PartStream } from "./link/part-stream.ts";
import { callRef, OpenCodeAgent, permitOf } from "./opencode/agent.ts";
import { askedPermissions } from "./opencode/config.ts";
import { OpenCode } from "./opencode/opencode.ts";
import type { Agent, AgentStart } from "./runner-options.ts";
import { commandEnvironment, type OtlpVariables } from "./tools/command-environment.ts";
import { startToolServer } from "./tools/tool-server.ts";

export { CONFIG_FOLDER } from "./opencode/config-folder.ts";

/** Begins to start OpenCode. `healthy` rejects if it does not become healthy. */
export function startOpenCodeAgent({
  config,
  tracer,
  parent,
  workspace,
  tell,
  beginCommand,
  ask,
  heard,
  ...rest
}: AgentStart): {
  readonly agent: Agent;
  readonly healthy: Promise<unknown>;
} {
  const { modelAccess, captureContent, stuckTurnMs, turnBounds } = config;
  const { secrets } = rest;
  const { healthMs, hungMs } = stuckLimits(stuckTurnMs);
  const parts = new PartStream();
  const server = startToolServer({
    answer: (call, signal) => answer(call, signal),
    secrets,
    onProviderCall: (call) => opencode.forwardProviderCall(call),
    onModelRequest: (request) => opencode.forwardModelRequest(request),
    onProviderBytes: (bytes) => opencode.forwardProviderBytes(bytes),
    shellOf: (shell) => shellAnswer(jobs, shell, rest.otlp),
    permitModelCall: async (call) => permitOf(await jobs.permitModelCall(callRef(call)), config.providerContext),
  });
  rest.wall.expose(server.url);
  if (modelAccess.openAiCompatible !== undefined) rest.wall.expose(modelAccess.openAiCompatible.baseUrl);
  const opencode = new OpenCode({
    workspace,
    modelAccess,
    tracer,
    secrets,
    startTimeoutMs: rest.startTimeoutMs,
    stateFolder: rest.stateFolder,
    wall: rest.wall,
    workspaceReady: rest.workspaceReady,
    limitHit: rest.usage && ((wasKilled) => rest.usage?.recentLimit(wasKilled)),
    onProcess: rest.usage && (() => rest.usage?.agentStarted()),
    onProblem: rest.onProblem,
    onWarning: rest.onWarning,
    health: { tryMs: healthMs, hungMs },
    trustsRepository: config.trustRepositoryConfig === true,
    permission: askedPermissions(config.askBefore ?? []),
    tools: {
      plugin: PLUGIN,
      url: server.url,
      secret: server.secret,
      commitHooks: rest.commitHooks,
      capturesContent: captureContent,
    },
  });
  const jobs = new JobRunner({
    tracer,
    captureContent,
    contentMaxBytes: rest.contentMaxBytes,
    stuckTurnMs,
    turnBounds,
    defaultModel: modelAccess.model,
    isolation: rest.isolation,
    usage: rest.usage,
    workspace,
    env: process.env,
    wall: rest.wall,
    commitHooks: rest.commitHooks,
    otlp: rest.otlp,
    secrets,
    agent: new OpenCodeAgent(opencode, modelAccess.openAiCompatible?.baseUrl),
    onPart: (attemptId, part) => tell(parts.frame(attemptId, part)),
    onStep: (attemptId, state, span) =>
      tell({ type: "workflow-step", attemptId, state, ...withoutUndefined({ span }) }),
    onCommand: (attemptId, state, span, signal) =>
      beginCommand({ type: "workflow-step", attemptId, state, ...withoutUndefined({ span }) }, signal),
    onAsked: (asked) => tell(asked),
    onWorking: (attemptId) => tell({ type: "working", attemptId }),
    onHeard: heard,
    onWork: rest.onWork,
  });

  function answer(call: ToolCall, signal: AbortSignal): Promise<ChildSessionAnswer> {
    const turn = jobs.findToolCall(callRef(call));
    const { request } = call;
    return ask(
      {
        requestId: requestIdOf(call),
        request,
        ...(turn && { attemptId: turn.attemptId, ...contextHeaders(turn.context) }),
      },
      signal,
    );
  }

  const stop = async () => {
    await Promise.all([opencode.stop(), server.stop()]);
  };
  return { agent: { jobs, stop }, healthy: opencode.ready(parent) };
}

/** Returns the request's id, which is the same if a tool call repeats the same request. */
function requestIdOf({ opencodeSessionId, messageId, callId, request }: ToolCall): string {
  const identity = JSON.stringify([opencodeSessionId, messageId, callId, request]);
  return `req_${createHash("sha256").update(identity).digest("hex").slice(0, 32)}`;
}

/** Returns what a shell of the agent gets: for what it works and, if it is a tool call's, the variables of its command. */
export function shellAnswer(
  jobs: Pick<JobRunner, "commitOriginOf" | "findToolCall">,
  { opencodeSessionId: sessionId, call }: ShellRef,
  otlp?: OtlpVariables,
): ShellAnswer {
  const command = call && jobs.findToolCall({ sessionId, ...call });
  return { ...jobs.commitOriginOf(sessionId), ...(command && { env: commandEnvironment(command, otlp) }) };
}
