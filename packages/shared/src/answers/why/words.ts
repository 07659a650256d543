/** Words for the parts of a message's time. Pure. */
import type { Part } from "../../protocol/why.ts";

const quoted = (text: string | null) => (text === null ? "" : ` \`${text}\``);

const SANDBOX_WAITS: Readonly<Record<string, string>> = {
  start: "waiting for the sandbox to start",
  restore: "waiting for the sandbox to restore",
  hibernate: "waiting for the sandbox to hibernate",
};

/** Error types are quoted; an exit code is text. */
export const causeText = (cause: string): string => (cause.includes(" ") ? cause : `\`${cause}\``);

/** What a part was, after a duration: "12.1 s copying the snapshot". */
const DOING: Readonly<Record<Part["name"], (detail: string | null, cause: string | null) => string>> = {
  "queue.channel": (detail) =>
    `waiting for${detail === null ? " another message" : ` message${quoted(detail)}`} in the channel`,
  "queue.sandbox": (detail) => SANDBOX_WAITS[detail ?? ""] ?? "waiting for a sandbox",
  "queue.capacity": () => "waiting for room for a sandbox",
  "queue.runner": (_detail, cause) =>
    `waiting for the runner to connect${cause === null ? "" : ` again (${causeText(cause)})`}`,
  "queue.collect": () => "collecting messages into a batch",
  "queue.other": (detail) => `in the queue${detail === null ? "" : ` (${quoted(detail).trim()})`}`,
  "sandbox.hibernate": () => "hibernating the sandbox",
  "sandbox.broker": () => "in the sandbox broker",
  "sandbox.copy": () => "copying the snapshot",
  "sandbox.boot": () => "booting",
  "sandbox.agent_start": () => "starting the agent",
  "sandbox.clone": () => "setting up the repository",
  "sandbox.warm_up": () => "warming up the agent",
  "sandbox.other": () => "between the steps of the start",
  dispatch: () => "handing it to the runner",
  prepare: (detail) =>
    detail === null ? "preparing" : `preparing: waiting for MCP servers (${quoted(detail).trim()})`,
  "model.first_token": (detail) => `waiting for the first token of${detail === null ? " the model" : quoted(detail)}`,
  "model.streaming": (detail) => `streaming the answer of${detail === null ? " the model" : quoted(detail)}`,
  "model.retry": (detail, cause) =>
    `retrying${detail === null ? " the model" : quoted(detail)}${cause === null ? "" : ` after \`${cause}\``}`,
  tool: (detail, cause) => `in the tool${quoted(detail)}${cause === null ? "" : ` (${causeText(cause)})`}`,
  command: (detail) => `in the command of step${quoted(detail)}`,
  permission: (detail) => `waiting for a person's permission${detail === null ? "" : ` (${quoted(detail).trim()})`}`,
  question: () => "waiting for a person's answer",
  compaction: () => "summarizing the context",
  agent: (detail) => (detail === null ? "between the agent's steps" : "in the agent itself"),
  sub_agent: (detail) => `in the sub-agent${quoted(detail)}`,
  child_session: () => "creating a child session",
  "child_session.work": (detail) => `waiting for the session${quoted(detail)}`,
  sent_job: (detail) => `waiting for the message or workflow${quoted(detail)}, which it sent`,
  agent_start: () => "starting the agent again",
  agent_unresponsive: () => "with an agent that did not respond",
  finalize: () => "finishing the answer",
  runner_gone: () => "without the runner",
  lost_attempt: (detail, cause) =>
    `in ${detail === null ? "an attempt" : `attempt ${detail}`} that was lost${cause === null ? "" : ` (\`${cause}\`)`}`,
  unattributed: () => "that no span explains",
};

/** Returns what a part was: "copying the snapshot", "in the tool `bash`". */
export function doing({ name, detail, cause }: Pick<Part, "name" | "detail" | "cause">): string {
  return DOING[name](detail, cause);
}
