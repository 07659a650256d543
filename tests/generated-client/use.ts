// How a program uses the generated types. `openapi-client.test.ts` compiles it beside them.
import type { components, operations } from "./api.d.ts";

type Schemas = components["schemas"];
type Body<Name extends keyof operations> = operations[Name] extends {
  requestBody: { content: { "application/json": infer T } };
}
  ? T
  : never;
type Answer<Name extends keyof operations, Status extends number> =
  operations[Name]["responses"] extends Record<Status, { content: { "application/json": infer T } }> ? T : never;

export const message: Body<"sendMessage"> = { content: "Hello", queueMode: "followup" };
// @ts-expect-error: a message needs its content
export const empty: Body<"sendMessage"> = {};
export const session = (view: Answer<"createSession", 201>): Schemas["SessionView"] => view;
export const titles = ({ sessions }: Answer<"listSessions", 200>): (string | undefined)[] =>
  sessions.map(({ title }) => title);

/** An event is told by its type. */
export function textOf(event: Schemas["ClientEvent"]): string {
  if (event.type === "error") return event.error;
  return event.type === "session" ? event.session.status : event.type;
}
