/** The kind of work that a part of a message's time is drawn as. Pure. */
import type { Schemas } from "../../api/client.ts";
import type { Kind } from "../../ui/kind.tsx";

type PartName = Schemas["WhyPart"]["name"];

const KINDS: Readonly<Partial<Record<PartName, Kind>>> = {
  "queue.sandbox": "sandbox",
  "model.first_token": "first-byte",
  "model.streaming": "model",
  "model.retry": "retry",
  tool: "tool",
  command: "tool",
  permission: "person",
  question: "person",
  compaction: "model",
  sub_agent: "model",
  "child_session.work": "queue",
  sent_job: "queue",
  child_session: "sandbox",
  agent_start: "sandbox",
  runner_gone: "queue",
  lost_attempt: "lost",
};

/** Returns how a part is drawn: `other` if it is nobody's work and nobody's wait. */
export function kindOf(name: PartName): Kind {
  const kind = KINDS[name];
  if (kind !== undefined) return kind;
  if (name.startsWith("queue.")) return "queue";
  return name.startsWith("sandbox.") ? "sandbox" : "other";
}
