/** What a person does to a session as a whole. Each returns when the API has taken it. */
import { api, ok } from "./client.ts";

const of = (id: string) => ({ params: { path: { id } } });

export function hibernateSession(id: string) {
  return ok(api.POST("/api/sessions/{id}/hibernate", of(id)));
}

/** Ends it for good; it can still be read. */
export function terminateSession(id: string) {
  return ok(api.POST("/api/sessions/{id}/terminate", of(id)));
}

/** Deletes it with all that it said and did. */
export function deleteSession(id: string) {
  return ok(api.DELETE("/api/sessions/{id}", of(id)));
}

/** Withdraws all queued messages and workflows. */
export function clearQueue(id: string) {
  return ok(api.DELETE("/api/sessions/{id}/queue", of(id)));
}
