/** Says why a verdict is as it is, and what to do. Pure. No sentence holds an age, so that it stays true while time passes. */
import { durationText, limitText } from "../../duration-text.ts";
import { ERRORS, type ErrorType, isOfCreation } from "../../spans/error-types.ts";
import { cutEnd, head } from "../../text.ts";
import { holdersText, reachedText, roomAdvice } from "../capacity-text.ts";
import { QUIET_FACTOR } from "./durations.ts";
import type { FactFailure, PersonRequest, Run, SessionFacts, Step } from "./facts.ts";
import { awaitedSteps, type Judgement } from "./judge.ts";

export interface Explanation {
  readonly why: string;
  readonly nextStep: string;
  readonly command: string | null;
}

/** The length of a quoted question or permission, in UTF-16 code units. */
const MAX_QUOTE = 160;
/** A runner that was not heard for this many heartbeats is mentioned. */
const MISSED_HEARTBEATS = 2;

/** Names the error, and its first cause. */
function typeText(failure: FactFailure | null): string {
  const { type = "_OTHER", cause } = failure ?? {};
  return `\`${type}\`${cause === undefined ? "" : `, because of \`${cause}\``}`;
}

function wakeStep(failure: FactFailure | null): string {
  if (failure?.type === ("snapshot_gone" satisfies ErrorType)) {
    return "Wake the session once the snapshot is back: its queue continues. Without it the session cannot go on; it keeps its conversation and its traces until you end it.";
  }
  const step = "Fix the cause, then wake the session. Its queue continues.";
  if (!isOfCreation(failure?.type ?? "_OTHER")) return step;
  return `${step} It keeps the URL, credentials and branch that it was created with; if one of them is wrong, create another session.`;
}

export function explain(judgement: Judgement, facts: SessionFacts, nowMs: number): Explanation {
  const { rule, thresholdMs, run, step, request } = judgement;
  const { sessionId: id, failure, limits, queue } = facts;
  const abort = { nextStep: "Abort it, and send the message again.", command: `valet abort ${id}` };
  const look = { nextStep: "Nothing to do: it continues by itself.", command: `valet watch ${id}` };
  const limit = limitText(thresholdMs ?? 0);
  switch (rule) {
    case "session_error":
      return {
        why: `The session has no sandbox, and none could be started${failure === null ? "" : `: ${typeText(failure)}`}. ${failure?.message ?? ""}`.trim(),
        nextStep: wakeStep(failure),
        command: `valet wake ${id}`,
      };
    case "job_failed":
      return {
        why: `The last ${failure?.job?.kind ?? "message"} failed with ${typeText(failure)}. ${failure?.message ?? ""}`.trim(),
        nextStep: "Read why, then send another message: the next job that ends well clears this.",
        command: `valet why ${id}${failure?.job == null ? "" : ` ${failure.job.id}`}`,
      };
    case "runner_silent":
      return {
        why: `The runner is silent: not even its heartbeat, every ${limitText(limits.heartbeatMs)}, has arrived. Its process may be frozen, or its machine overloaded or cut off.${doing(facts)}`,
        nextStep: `Valet replaces the runner ${limitText(limits.graceMs)} after the link counts as lost; look at the sandbox's machine if this recurs.`,
        command: `valet watch ${id}`,
      };
    case "dispatch_unaccepted":
      return { why: `The runner has not accepted ${jobText(run)} within ${limit}.`, ...abort };
    case "turn_silent":
      return {
        why: `The agent has reported nothing for longer than a turn may be silent (\`VALET_STUCK_TURN_MS\`, ${limitText(limits.stuckTurnMs)}).${doing(facts)}`,
        ...abort,
      };
    case "turn_too_long":
      return { why: `It runs for longer than ${limit} (\`VALET_MAX_TURN_MS\`).${doing(facts)}`, ...abort };
    case "tool_overran":
      return {
        why: `The tool ${stepText(step)} has not ended, although its own limit of ${limitText(step?.timeoutMs ?? 0)} has passed.`,
        ...abort,
      };
    case "command_overran":
      return {
        why: `The command ${stepText(step)} has not ended, although its limit of ${limitText(step?.timeoutMs ?? 0)} has passed.`,
        ...abort,
      };
    case "model_silent":
      return {
        why: `The model ${stepText(step)} has sent nothing for longer than ${limit}. A call is ended after that time.`,
        ...abort,
      };
    case "operation_overdue":
      return {
        why: `${operationText(facts)} It is past its limit of ${limit}.`,
        nextStep: "See in which step it hangs.",
        command: `valet trace ${id}`,
      };
    case "permission_asked":
    case "question_asked":
      return askedText(facts, request);
    case "step_quiet":
      return { why: `${quietText(step)} ${usualText(step, limit)}${runnerText(facts, nowMs)}`, ...quietStep(id) };
    case "turn_quiet":
      return {
        why: `The agent has reported nothing since its last step; more than ${limit} is unusual.${runnerText(facts, nowMs)}`,
        ...quietStep(id),
      };
    case "work_running":
      return { why: `The agent works on ${jobText(run)}.${doing(facts)}${runnerText(facts, nowMs)}`, ...look };
    case "work_dispatched":
      return { why: `Valet has sent ${jobText(run)} to the runner, which has not accepted it yet.`, ...look };
    case "work_queued":
      return {
        why: `${jobsText(queue?.count ?? 1)} ${queue?.reason === "collect_debounce" ? "being collected into a batch" : "about to be sent to the runner"}.`,
        ...look,
      };
    case "in_line":
      return lineText(facts);
    case "sandbox_starting":
    case "sandbox_restoring":
      return {
        why: operationText(facts),
        nextStep: dueText(facts),
        command: `valet watch ${id}`,
      };
    case "sandbox_lost":
      return {
        why:
          failure?.job === null
            ? `The sandbox is being replaced. ${failure.message}`
            : "The sandbox was lost and is being replaced.",
        nextStep: "Wait: Valet tries several times. If all tries fail, the session fails with the first cause.",
        command: `valet watch ${id}`,
      };
    case "sandbox_stopping":
      return { why: "The session is hibernating. It wakes for the waiting work afterwards.", ...look };
    case "files_unkept":
    case "runner_reconnecting":
      if (facts.link === null && facts.sleepProblem !== null) return keptAwakeText(facts, facts.sleepProblem);
      return {
        why: `The link to the runner is down.${doing(facts)}`,
        nextStep: `Wait: the runner has ${limitText(limits.graceMs)} to connect again, then its sandbox is replaced.`,
        command: `valet watch ${id}`,
      };
    case "no_work":
      return {
        why: "The session is idle: it waits for a message.",
        nextStep: "Send a message.",
        command: promptCommand(id),
      };
    case "asleep":
      return {
        why: "The session is hibernated; its files are kept.",
        nextStep: "A message wakes it.",
        command: promptCommand(id),
      };
    case "ended":
      return { why: "The session has ended.", nextStep: "Nothing to do.", command: null };
    default:
      return rule satisfies never;
  }
}

/** The runner is gone, and the work waits until its sandbox's files are safe: then the session wakes with them. */
function keptAwakeText(
  { sessionId }: SessionFacts,
  { type, detail, retryMs }: NonNullable<SessionFacts["sleepProblem"]>,
): Explanation {
  const { meaning, remedy } = ERRORS[type];
  const tried =
    retryMs === null
      ? "being tried again"
      : `tried again at ${new Date(retryMs).toISOString().slice(11, 19)} UTC, or when you hibernate the session`;
  return {
    why: `The runner is gone, and no snapshot of its sandbox's files can be taken: \`${type}\`, ${detail ?? meaning}.`,
    nextStep: `${remedy ?? ""} The snapshot is ${tried}; then the work continues.`.trim(),
    command: `valet hibernate ${sessionId}`,
  };
}

function lineText({ line }: SessionFacts): Explanation {
  const { place = null, holders } = line ?? {};
  const stands = `the session stands${place === null ? "" : ` at place ${place}`} in line for one.`;
  if (holders === undefined) {
    return {
      why: `The limit on sandboxes is reached; ${stands}`,
      nextStep: "Wait, hibernate or end a session that is not needed, or raise `VALET_MAX_AWAKE`.",
      command: "valet sessions",
    };
  }
  const held = holdersText(holders);
  const by = held === "" ? "" : ` The places are held by ${held}.`;
  return { why: `${reachedText(holders)}; ${stands}${by}`, ...roomAdvice(holders) };
}

function askedText({ sessionId }: SessionFacts, request: PersonRequest | undefined): Explanation {
  const { kind = "question", id = "", text = "", count = 1 } = request ?? {};
  const quote = text === "" ? "" : `: ${cutEnd(inOneLine(text, kind), MAX_QUOTE)}`;
  if (kind === "permission") {
    const command = `valet reply ${sessionId} ${id} once|always|reject`;
    return { why: `The agent asks for permission${quote}`, nextStep: "Allow it, or reject it.", command };
  }
  const answers = Array.from({ length: count }, (_, index) => `ANSWER${index === 0 ? "" : index + 1}`).join(" ");
  return {
    why: `The agent asks${quote}`,
    nextStep: "Answer it, or decline with `--decline`.",
    command: `valet reply ${sessionId} ${id} ${answers}`,
  };
}

/**
 * A person decides by it. Each line of what is asked for is a command or a file of its own, and joined by blanks `echo` and `rm` would
 * look like one command that only prints.
 */
function inOneLine(text: string, kind: PersonRequest["kind"]): string {
  const lines = kind === "permission" ? text.split(/[\r\n\u2028\u2029]+/) : [text];
  return lines.map((line) => line.replaceAll(/\s+/g, " ").trim()).join(" ↵ ");
}

const quietStep = (id: string) => ({
  nextStep: "Watch whether it continues; if not, abort it and send the message again.",
  command: `valet watch ${id}`,
});

const promptCommand = (id: string) => `valet prompt --session ${id} "…"`;

function quietText(step: Step | undefined): string {
  const { kind = "agent", heardMs = null, byteMs = null } = step ?? {};
  switch (kind) {
    case "model": {
      const what = heardMs === null ? "has not begun its answer" : "has stopped in the middle of its answer";
      const alive = byteMs !== null && byteMs > (heardMs ?? 0) ? "; its provider only keeps the connection open" : "";
      return `The model ${stepText(step)} ${what}${alive}.`;
    }
    case "tool":
      return `The tool ${stepText(step)} has not ended, and ${heardMs === null ? "has written nothing" : "writes nothing more"}.`;
    case "prepare":
      return "The agent is still preparing its first model call: it loads tools and MCP servers.";
    case "compaction":
      return "The agent is still summarizing its context.";
    case "agent":
      return "OpenCode does not respond, or is still starting.";
    case "finalize":
      return "The runner is still reading the answer from the agent.";
    default:
      return `The step ${stepText(step)} has reported nothing more.`;
  }
}

function usualText(step: Step | undefined, limit: string): string {
  const { samples = 0, p99Ms = 0 } = step?.typical ?? {};
  if (samples === 0) return `More than ${limit} is unusual.`;
  return `99 % of the last ${samples} such steps took at most ${durationText(p99Ms)}, so more than ${limit} (${QUIET_FACTOR} times that, at least 30 s) is unusual.`;
}

/** Says what running work is doing: the steps that it waits for. */
function doing({ runs }: SessionFacts): string {
  const steps = runs.flatMap((run) => awaitedSteps(run.steps));
  if (runs.some(({ isStopping }) => isStopping)) return " It is being stopped.";
  if (steps.length === 0) return "";
  const texts = [...new Set(steps.map(doingText))].map((text, index) => (index === 0 ? text : inSentence(text)));
  return ` ${texts.slice(0, 3).join("; ")}${texts.length > 3 ? `; and ${texts.length - 3} more` : ""}.`;
}

/** Returns a sentence as a further part of another one. */
const inSentence = (text: string) => text.replace(/^(?:The|A) /, (article) => article.toLowerCase());

function doingText(step: Step): string {
  const { kind, heardMs, timeoutMs, afterError } = step;
  const within = timeoutMs === null ? "" : `, within its own limit of ${limitText(timeoutMs)}`;
  switch (kind) {
    case "model":
      return `The model ${stepText(step)} ${heardMs === null ? "was asked" : "answers"}`;
    case "tool":
      return `The tool ${stepText(step)} runs${within}`;
    case "command":
      return `The command ${stepText(step)} runs${within}`;
    case "retry":
      return `The agent pauses before it asks the model again${afterError === null ? "" : `, since the last try failed with \`${afterError}\``}`;
    case "prepare":
      return "The agent prepares before its first model call";
    case "compaction":
      return "The agent summarizes its context";
    case "agent":
      return "OpenCode starts, or does not respond";
    case "finalize":
      return "The runner reports the answer";
    case "person":
      return "The agent waits for a person";
  }
}

/** Says that the runner itself has missed heartbeats. */
function runnerText({ link, limits }: SessionFacts, nowMs: number): string {
  if (link === null || !link.isUp || nowMs - link.heardMs < MISSED_HEARTBEATS * limits.heartbeatMs) return "";
  return ` The runner itself is silent, too: at least ${MISSED_HEARTBEATS} of its heartbeats are missing; its process may be frozen.`;
}

function operationText({ operation, status }: SessionFacts): string {
  const kind = operation?.kind ?? (status === "restoring" ? "restore" : "spawn");
  const doing = operation?.doing ?? "";
  if (kind === "hibernate") return "The session hibernates: the broker takes a snapshot, and ends the sandbox.";
  if (kind === "terminate") return "The session is being ended.";
  const what = kind === "restore" ? "The sandbox is restored" : "The sandbox starts";
  if (doing !== "") return `${what}: ${doing}.`;
  const { stage = null } = operation ?? {};
  return `${what}: ${stage === null || stage === "requested" ? "the broker was asked for it" : `it has come to the stage \`${stage}\``}.`;
}

function dueText({ operation }: SessionFacts): string {
  if (operation?.dueMs == null) return "Wait, or see in which step it is.";
  const at = new Date(operation.dueMs).toISOString().slice(11, 19);
  return `Wait: at ${at} UTC at the latest it fails with its cause, and is tried again where that can help.`;
}

function jobText(run: Run | undefined): string {
  const { kind = "message", jobId = "", channel = "main" } = run ?? {};
  return `the ${kind} ${jobId}${channel === "main" ? "" : ` (channel ${channel})`}`;
}

const jobsText = (count: number) => (count === 1 ? "A message or workflow is" : `${count} messages or workflows are`);

const stepText = (step: Step | undefined) => `\`${head(step?.name || "unnamed", 80)}\``;
