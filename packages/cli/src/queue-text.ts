import type { MessageView } from "@valet/shared/protocol/session-view";

/** What a message or workflow that is queued waits for, for people. */
export function queueText({ queueReason, capacityPlace }: Pick<MessageView, "queueReason" | "capacityPlace">): string {
  if (queueReason === undefined) return "queued";
  const place = capacityPlace === undefined ? "" : `, ${placeText(capacityPlace)}`;
  return `queued: ${queueReason}${place}`;
}

/** Where a session stands that waits for a sandbox, for people. */
export function placeText(capacityPlace: number): string {
  return `place ${capacityPlace} in line for a sandbox`;
}
