import type { MessageView } from "@valet/shared/protocol/session-view";

/** Says what a queued message or workflow waits for. */
export function queueText({ queueReason, capacityPlace }: Pick<MessageView, "queueReason" | "capacityPlace">): string {
  if (queueReason === undefined) return "queued";
  const place = capacityPlace === undefined ? "" : `, ${placeText(capacityPlace)}`;
  return `queued: ${queueReason}${place}`;
}

/** Says at which place in line a session waits for a sandbox. */
export function placeText(capacityPlace: number): string {
  return `place ${capacityPlace} in line for a sandbox`;
}
