import { randomBytes } from "node:crypto";
import { WARM_UP_MARK } from "@valet/shared/protocol/child-sessions";

let lastTick = 0n;

/**
 * Creates a message id in OpenCode's format: 48 bits of time and counter, then random characters. Ids ascend within the
 * process, since OpenCode compares them by order.
 */
export function newMessageId(nowMs = Date.now()): string {
  return `${nextPrefix(nowMs)}${randomBytes(7).toString("hex")}`;
}

/** Returns the message id of a warm-up prompt, by which the plugin answers its model call. */
export function newWarmUpMessageId(): string {
  return `${nextPrefix(Date.now())}${WARM_UP_MARK}`;
}

function nextPrefix(nowMs: number): string {
  const tick = BigInt(Math.floor(nowMs)) * 4096n;
  lastTick = tick > lastTick ? tick : lastTick + 1n;
  const time = (lastTick & 0xffff_ffff_ffffn).toString(16).padStart(12, "0");
  return `msg_${time}`;
}
