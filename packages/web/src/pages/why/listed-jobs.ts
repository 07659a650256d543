/** Messages and workflows in one list. Pure. */
import type { Schemas } from "../../api/client.ts";
import { firstLine } from "../../format/first-line.ts";

/** A message or a workflow in a list of both. */
export interface ListedJob {
  readonly kind: "message" | "workflow";
  readonly id: string;
  readonly title: string;
  readonly channel: string;
  /** Who sent it, if that is known. */
  readonly by: string | undefined;
  /** How it ended, or what it does. */
  readonly state: string;
  readonly acceptedAt: string;
}

export function listedMessage(message: Schemas["MessageView"]): ListedJob {
  const { id, content, channel, author, userId, outcome, status, acceptedAt } = message;
  const title = firstLine(content) || "(no text)";
  return { kind: "message", id, title, channel, by: author?.name ?? userId, state: outcome ?? status, acceptedAt };
}

export function listedWorkflow(workflow: Schemas["WorkflowView"]): ListedJob {
  const { id, name, channel, userId, outcome, status, acceptedAt } = workflow;
  return { kind: "workflow", id, title: name, channel, by: userId, state: outcome ?? status, acceptedAt };
}

/** Returns the messages and workflows, those that were accepted last first. */
export function newestFirst(
  messages: readonly Schemas["MessageView"][],
  workflows: readonly Schemas["WorkflowView"][],
): ListedJob[] {
  const jobs = [...messages.map(listedMessage), ...workflows.map(listedWorkflow)];
  return jobs.sort((a, b) => Date.parse(b.acceptedAt) - Date.parse(a.acceptedAt));
}
