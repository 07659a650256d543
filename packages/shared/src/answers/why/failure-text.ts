/** What failed, why, and what to do, in sentences. Pure. */

import { breakdownText } from "../../duration-text.ts";
import type { FailureView } from "../../protocol/failure.ts";
import { ERRORS, type ErrorType, type Outcome } from "../../spans.ts";
import { cuts } from "./cause-chain.ts";
import { amountOf, textOf } from "./model-calls.ts";
import type { WhySpan } from "./spans.ts";

/** Returns what a span is, as the subject of a sentence. */
function subjectOf(span: WhySpan): string {
  const named = NAMES[span.name];
  if (named !== undefined) return named(span);
  const begun = BEGINNINGS.find(([beginning]) => span.name.startsWith(beginning));
  return begun === undefined ? `\`${span.name}\`` : begun[1](span, span.name.slice(begun[0].length));
}

const quoted = (text: string | null) => (text === null ? "" : ` \`${text}\``);
const attributed = (before: string, key: string) => (span: WhySpan) => `${before}${quoted(textOf(span, key))}`;
const fixed = (text: string) => () => text;

const NAMES: Readonly<Record<string, (span: WhySpan) => string>> = {
  "valet.prompt": fixed("the message"),
  "valet.workflow": attributed("the workflow", "valet.workflow.name"),
  "valet.queue.wait": fixed("the wait in the queue"),
  "valet.prompt.dispatch": fixed("the dispatch to the runner"),
  "valet.workflow.dispatch": fixed("the dispatch to the runner"),
  "valet.turn": fixed("the turn"),
  "valet.turn.finalize": fixed("reading the answer"),
  "valet.workflow.execute": fixed("the runner's work on the workflow"),
  "valet.llm.try": (span) => `try ${amountOf(span, "valet.llm.attempt") ?? 1} of the model call`,
  "valet.retry.wait": fixed("the wait before the next try"),
  "valet.permission.wait": attributed("the permission request for", "valet.permission.type"),
  "valet.question.wait": fixed("the agent's question"),
  "valet.compaction": fixed("the compaction"),
  "valet.agent.prepare": fixed("the agent's preparation"),
  "valet.agent.mcp_wait": attributed("the wait for MCP servers", "valet.mcp.server.name"),
  "valet.agent.unresponsive": fixed("the wait for an OpenCode that did not respond"),
  "valet.sandbox.spawn": fixed("the start of the sandbox"),
  "valet.sandbox.restore": fixed("the restore of the sandbox"),
  "valet.sandbox.hibernate": fixed("the hibernation of the session"),
  "valet.session.terminate": fixed("the end of the session"),
  "valet.sandbox.create": fixed("the broker's creation of the sandbox"),
  "valet.runner.bootstrap": fixed("the start of the runner"),
  "valet.runner.connect": fixed("the runner's connection to the session"),
  "valet.runner.opencode_start": fixed("the start of OpenCode"),
  "valet.runner.opencode_wait": fixed("the wait for the start of OpenCode"),
  "valet.runner.git_setup": attributed("the setup of the repository", "vcs.repository.url.full"),
  "valet.runner.git_clone": attributed("the clone of", "vcs.repository.url.full"),
  "valet.runner.git_checkout": attributed("the checkout of", "vcs.ref.head.name"),
  "valet.runner.git_config": fixed("the configuration of git"),
};

const BEGINNINGS: readonly (readonly [string, (span: WhySpan, rest: string) => string])[] = [
  ["chat ", (_span, model) => `the model call to \`${model}\``],
  ["invoke_agent ", (span, agent) => `the agent \`${agent}\`${withModel(span)}`],
  ["execute_tool ", (_span, tool) => `the tool \`${tool}\``],
  ["valet.workflow.step ", (_span, step) => `the step \`${step}\``],
];

function withModel(span: WhySpan): string {
  const model = textOf(span, "valet.failover.model");
  return model === null ? "" : ` with \`${model}\``;
}

/** How a job, or a step of it, ended. */
export const ENDED: Readonly<Record<Outcome, string>> = {
  ok: "succeeded",
  error: "failed",
  aborted: "was aborted",
  superseded: "was superseded",
  skipped: "was skipped",
  lost: "was lost",
};

/** The first cause of a failure. */
export interface Cause {
  readonly span: WhySpan;
  readonly type: ErrorType;
  /** The model call, if the span is a try of it. */
  readonly within?: WhySpan;
  /** What was in progress when the span was cut short. */
  readonly inProgress?: WhySpan;
}

/** Returns what happened: "the clone of `…` failed: the host has no such repository (`git_not_found`)". */
export function clauseOf({ span, type, within, inProgress }: Cause): string {
  if (cuts(type))
    return inProgress === undefined
      ? happened(type)
      : `${happened(type)}, while ${subjectOf(inProgress)} was in progress`;
  const ended = span.outcome === null ? "has not ended" : ENDED[span.outcome];
  const subject =
    within === undefined ? subjectOf(span) : `try ${amountOf(span, "valet.llm.attempt") ?? 1} of ${subjectOf(within)}`;
  return `${subject} ${ended}: ${happened(type)}`;
}

/** Returns what an error type means, with its name: "git did not finish in time (`git_timeout`)". */
export function happened(type: ErrorType): string {
  return `${ERRORS[type].meaning} (\`${type}\`)`;
}

/** Returns what a span shows: how it ended, after which time, and the figures that say why. */
export function noteOf(span: WhySpan): string {
  const { outcome, startMs, endMs, attributes } = span;
  const reason = textOf(span, "error.type") ?? textOf(span, "valet.outcome.reason");
  const how = outcome === null ? (reason === null ? "is open" : "failed") : ENDED[outcome];
  const after = endMs === null ? "" : ` after ${breakdownText(Math.max(0, endMs - startMs))}`;
  const details = DETAILS.flatMap(([key, name]) => {
    const value = attributes[key];
    return value === undefined ? [] : [`${name} ${value}`];
  });
  const said = [...(reason === null ? [] : [`\`${reason}\``]), ...details];
  const subject = subjectOf(span);
  return `${subject.charAt(0).toUpperCase()}${subject.slice(1)} ${how}${after}${said.length === 0 ? "" : ` (${said.join(", ")})`}.`;
}

/** The attributes that say why, with their names. They hold no content. */
const DETAILS: readonly (readonly [string, string])[] = [
  ["process.exit.code", "exit code"],
  ["valet.process.signal", "signal"],
  ["http.response.status_code", "status"],
  ["valet.sandbox.stage", "stage"],
  ["valet.start.attempt_count", "starts"],
  ["valet.terminate.reason", "reason"],
  ["valet.hibernate.reason", "reason"],
  ["valet.permission.reply", "reply"],
];

/**
 * Returns what to do: the remedy of the cause, or of the failure if the cause has none, with what it is about. `null` if there is nothing
 * to do.
 */
export function remedyOf(cause: ErrorType, chain: readonly WhySpan[], failure: FailureView | null): string | null {
  const remedy = ERRORS[cause].remedy ?? (failure === null ? null : ERRORS[failure.type].remedy);
  if (remedy === null) return null;
  const about = ABOUT.flatMap(([prefix, key, name]) => {
    if (!cause.startsWith(prefix)) return [];
    const value = chain.map((span) => textOf(span, key)).findLast((text) => text !== null);
    return value === undefined || value === null ? [] : [`${name} is \`${value}\`.`];
  });
  const { stage, logLine, attempts } = failure ?? {};
  if (stage !== undefined) about.push(`The start had come to the stage \`${stage}\`.`);
  if (logLine !== undefined) about.push(`The runner's log ends with: ${logLine}`);
  if (attempts !== undefined)
    about.push(`Valet gave up after ${attempts === 1 ? "1 attempt" : `${attempts} attempts`}.`);
  return [remedy, ...about].join(" ");
}

/** Returns what to do while Valet itself tries again, which the remedy must not ask for then. `null` if nothing else is to be done. */
export function remedyMeanwhile(remedy: string | null): string | null {
  const rest = remedy?.replace(/^Try again(?:: [^.]*)?\.\s*/, "").replace(/[,;] then try again\./, ".");
  return rest === undefined || rest === "" ? null : rest;
}

/** What remedies are about: the beginning of the error types, the attribute, its name. */
const ABOUT: readonly (readonly [string, string, string])[] = [
  ["git_", "vcs.repository.url.full", "The repository"],
  ["git_ref", "vcs.ref.head.name", "The branch or ref"],
  ["provider_", "gen_ai.request.model", "The model"],
  ["provider_", "server.address", "The provider's host"],
  ["tool_", "gen_ai.tool.name", "The tool"],
  ["agent_loop", "gen_ai.tool.name", "The tool"],
  ["command_", "valet.workflow.step.name", "The step"],
];
