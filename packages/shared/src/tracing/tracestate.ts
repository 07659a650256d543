/**
 * The `tracestate` header of W3C Trace Context Level 2, section 3.3. It is kept as the header's text: most hops pass it on
 * untouched.
 */

const MAX_MEMBERS = 32;
/** The least that must be propagated ("tracestate Limits"); more only costs the next hop's header budget. */
const MAX_LENGTH = 512;
/** Members longer than this are the first to go when the whole is cut. */
const LONG_MEMBER = 128;

// Level 2 allows a digit first in every key and drops the tenant form, whose `@` it allows anywhere after the first.
// A value has 1 to 256 printable ASCII characters but `,` and `=`, the last no space.
const MEMBER = /^([a-z0-9][a-z0-9_*/@-]{0,255})=(?!.*[,=])[ -~]{0,255}[!-~]$/;

/**
 * Reads and cleans a `tracestate`: optional white space and empty members go, of a repeated key all but the first go, the
 * order stays. A header with a member that breaks the grammar or with more than 32 members is no tracestate at all: empty,
 * and `traceparent` stands regardless (section 3.3).
 */
export function parseTracestate(header: string): string {
  const members = header.split(",").map(trimOws).filter(Boolean);
  if (members.length > MAX_MEMBERS) return "";
  const byKey = new Map<string, string>();
  for (const member of members) {
    const key = MEMBER.exec(member)?.[1];
    if (key === undefined) return "";
    // Writers add on the left, so the first is the newest.
    if (!byKey.has(key)) byKey.set(key, member);
  }
  return cut([...byKey.values()]);
}

/** The value of a member, or `undefined`. */
export function getTracestate(state: string, key: string): string | undefined {
  const member = state.split(",").find((each) => each.startsWith(`${key}=`));
  return member?.slice(key.length + 1);
}

/**
 * Sets a member and moves it to the left, as section 3.5 demands of an edited key; of 33 members the rightmost goes, and
 * what exceeds 512 characters is cut. A key or value that breaks the grammar changes nothing. `undefined` removes the member.
 */
export function setTracestate(state: string, key: string, value: string | undefined): string {
  const others = state.split(",").filter((each) => each && !each.startsWith(`${key}=`));
  if (value === undefined) return others.join(",");
  const member = `${key}=${value}`;
  return MEMBER.test(member) ? cut([member, ...others].slice(0, MAX_MEMBERS)) : state;
}

/** Removes the optional white space around a field value or list member. Takes linear time: a trimming regex does not. */
export function trimOws(text: string): string {
  return /^[ \t]*(.*[^ \t]|)/s.exec(text)![1]!;
}

/** Whole members go until the rest fits: those over 128 characters first, then from the right ("tracestate Limits"). */
function cut(members: string[]): string {
  for (const most of [LONG_MEMBER, 0]) {
    for (let i = members.length; i-- && members.join(",").length > MAX_LENGTH; ) {
      if (members[i]!.length > most) members.splice(i, 1);
    }
  }
  return members.join(",");
}
