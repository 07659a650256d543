/** What the conversation of a session is made of: its messages and turns, its workflows. */
import { api, ok, type Schemas } from "./client.ts";
import { readEarly, readOnce } from "./early-reads.ts";
import { readMessage } from "./messages.ts";
import { readWorkflow } from "./workflows.ts";

/** The most pages of workflows that are read; a session with more has thousands. */
const MAX_WORKFLOW_PAGES = 40;
const TURNS_PER_PAGE = 100;

/** Where a page of messages begins; at the newest one if omitted. */
type Place = { readonly cursor: string } | { readonly from: string; readonly order: "asc" | "desc" };
/** Only turns that ended in it, ISO 8601. */
interface Period {
  readonly from: string;
  readonly to?: string;
}

/** Asks for the newest messages and turns, and the workflows, whose page is still being loaded. */
export function readConversationEarly(id: string): void {
  readEarly(`messages ${id}`, () => messages(id));
  readEarly(`workflows ${id}`, () => workflows(id));
  readEarly(`turns ${id}`, () => turns(id));
}

/** Returns the reads of a session. */
export function conversationReads(id: string) {
  return {
    messages: (place?: Place) =>
      place === undefined ? readOnce(`messages ${id}`, () => messages(id)) : messages(id, place),
    message: (messageId: string) => readMessage(id, messageId),
    workflows: () => readOnce(`workflows ${id}`, () => workflows(id)),
    workflow: (executionId: string) => readWorkflow(id, executionId),
    turns: (period?: Period) => (period === undefined ? readOnce(`turns ${id}`, () => turns(id)) : turns(id, period)),
  };
}

function messages(id: string, place?: Place) {
  const query = place ?? { order: "desc" as const };
  return ok(api.GET("/api/sessions/{id}/messages", { params: { path: { id }, query } }));
}

async function turns(id: string, period?: Period): Promise<Schemas["TurnRecord"][]> {
  const query = { sessionId: id, limit: TURNS_PER_PAGE, ...period };
  return (await ok(api.GET("/api/turns", { params: { query } }))).turns;
}

async function workflows(id: string): Promise<Schemas["WorkflowView"][]> {
  const all: Schemas["WorkflowView"][] = [];
  let cursor: string | undefined;
  for (let page = 0; page < MAX_WORKFLOW_PAGES; page++) {
    const query = cursor === undefined ? {} : { cursor };
    const answer = await ok(api.GET("/api/sessions/{id}/workflows", { params: { path: { id }, query } }));
    all.push(...answer.workflows);
    cursor = answer.nextCursor;
    if (cursor === undefined) break;
  }
  return all;
}
