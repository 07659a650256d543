/**
 * W3C Trace Context Level 2 by the letter of its grammar, one character at a time. It shares nothing with what it judges:
 * no regular expression, no helper, no limit.
 */

export interface JudgedParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly flags: number;
}

/** What a `traceparent` field says, `undefined` when Level 2 tells the receiver to restart the trace. */
export function judgeTraceparent(header: string): JudgedParent | undefined {
  let at = 0;
  const hex = (digits: number): string | undefined => {
    let text = "";
    for (let i = 0; i < digits; i++) {
      const char = header.charAt(at++);
      if (!isOneOf("0123456789abcdef", char)) return undefined;
      text += char;
    }
    return text;
  };
  const dash = () => header.charAt(at++) === "-";

  const version = hex(2);
  if (version === undefined || version === "ff" || !dash()) return undefined;
  const traceId = hex(32);
  if (traceId === undefined || isZeros(traceId) || !dash()) return undefined;
  const spanId = hex(16);
  if (spanId === undefined || isZeros(spanId) || !dash()) return undefined;
  const flags = hex(2);
  if (flags === undefined) return undefined;
  const ends = at === header.length;
  if (!ends && (version === "00" || !dash())) return undefined;
  return { traceId, spanId, flags: Number(`0x${flags}`) };
}

/** The members of a `tracestate` field, `undefined` when it breaks the grammar. */
export function judgeTracestate(header: string): string[] | undefined {
  const members: string[] = [];
  let raw = "";
  for (let i = 0; i <= header.length; i++) {
    const char = header.charAt(i);
    if (char !== "," && i < header.length) {
      raw += char;
      continue;
    }
    const member = withoutOws(raw);
    raw = "";
    if (member === "") continue;
    if (!isMember(member)) return undefined;
    members.push(member);
  }
  return members.length > 32 ? undefined : members;
}

/** What is to be passed on of a list of members: each key once, in order, and no more than 512 characters. */
export function passOn(members: readonly string[]): string {
  const once = members.filter((member, i) => !members.slice(0, i).some((earlier) => keyOf(earlier) === keyOf(member)));
  const long = once.filter((member) => member.length > 128);
  // All that may be dropped, in the order in which it goes.
  const victims = [...long.reverse(), ...once.filter((member) => member.length <= 128).reverse()];
  let kept = once;
  for (const victim of victims) {
    if (kept.reduce((sum, member) => sum + member.length + 1, -1) <= 512) break;
    kept = kept.filter((member) => member !== victim);
  }
  return kept.join(",");
}

/** Whether a list member, white space already gone, is `key "=" value`. */
export function isMember(member: string): boolean {
  let at = 0;
  while (at < member.length && member.charAt(at) !== "=") at++;
  if (at < 1 || at > 256 || at === member.length) return false;
  for (let i = 0; i < at; i++) {
    const allowed = i === 0 ? KEY_START : `${KEY_START}_-*/@`;
    if (!isOneOf(allowed, member.charAt(i))) return false;
  }
  const length = member.length - at - 1;
  if (length < 1 || length > 256 || member.endsWith(" ")) return false;
  for (let i = at + 1; i < member.length; i++) {
    const char = member.charAt(i);
    if (char < " " || char > "~" || char === "," || char === "=") return false;
  }
  return true;
}

/** Without the spaces and tabs around a field value or a list member (RFC 9110, section 5.6.3). */
export function withoutOws(text: string): string {
  const chars = [...Array(text.length).keys()].map((i) => text.charAt(i));
  while (chars.length > 0 && isOneOf(" \t", chars[0] as string)) chars.shift();
  while (chars.length > 0 && isOneOf(" \t", chars.at(-1) as string)) chars.pop();
  return chars.join("");
}

const KEY_START = "abcdefghijklmnopqrstuvwxyz0123456789";

function isOneOf(allowed: string, char: string): boolean {
  return char !== "" && allowed.includes(char);
}

function isZeros(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charAt(i) !== "0") return false;
  return true;
}

function keyOf(member: string): string {
  return member.slice(0, member.indexOf("="));
}
