import { randomBytes } from "node:crypto";

let lastTick = 0n;

/**
 * Creates a message id in OpenCode's format: 48 bits of time and counter, then random characters. Ids ascend within the
 * process, since OpenCode compares them by order.
 */
export function newMessageId(nowMs = Date.now()): string {
  const tick = BigInt(Math.floor(nowMs)) * 4096n;
  lastTick = tick > lastTick ? tick : lastTick + 1n;
  const time = (lastTick & 0xffff_ffff_ffffn).toString(16).padStart(12, "0");
  return `msg_${time}${randomBytes(7).toString("hex")}`;
}
