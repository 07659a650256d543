/**
 * The `tracestate` header of W3C Trace Context Level 2, section 3.3. It is stored as the header's text, since most hops propagate
 * it unchanged.
 */

const MAX_MEMBERS = 32;
/** The length that must be propagated at least ("tracestate Limits"); more would use up the next hop's header budget. */
const MAX_LENGTH = 512;
/** Members longer than this are removed first when the header is too long. */
const LONG_MEMBER = 128;

// Level 2 allows a digit as the first character of every key, and drops the tenant form: it allows `@` anywhere after the first
// character. A value has 1 to 256 printable ASCII characters without `,` and `=`; the last is not a space.
const MEMBER = /^([a-z0-9][a-z0-9_*/@-]{0,255})=(?!.*[,=])[ -~]{0,255}[!-~]$/;

/**
 * Parses a `tracestate`. Removes optional white space, empty members, and all but the first member of a repeated key; keeps the
 * order. Returns an empty text if a member violates the grammar or there are more than 32 members; `traceparent` is valid
 * nevertheless (section 3.3).
 */
export function parseTracestate(header: string): string {
  const members = header.split(",").map(trimOws).filter(Boolean);
  if (members.length > MAX_MEMBERS) return "";
  const byKey = new Map<string, string>();
  for (const member of members) {
    const key = MEMBER.exec(member)?.[1];
    if (key === undefined) return "";
    // Vendors add on the left, so the first member is the newest.
    if (!byKey.has(key)) byKey.set(key, member);
  }
  return cut([...byKey.values()]);
}

/** Returns the value of a member, or `undefined`. */
export function getTracestate(state: string, key: string): string | undefined {
  const member = state.split(",").find((each) => each.startsWith(`${key}=`));
  return member?.slice(key.length + 1);
}

/**
 * Sets a member and moves it to the left, as section 3.5 requires for a modified key. Of 33 members the rightmost is removed, and
 * members beyond 512 characters are removed. A key or value that violates the grammar changes nothing. `undefined` removes the
 * member.
 */
export function setTracestate(state: string, key: string, value: string | undefined): string {
  const others = state.split(",").filter((each) => each && !each.startsWith(`${key}=`));
  if (value === undefined) return others.join(",");
  const member = `${key}=${value}`;
  return MEMBER.test(member) ? cut([member, ...others].slice(0, MAX_MEMBERS)) : state;
}

/** Removes the optional white space around a field value or list member. In linear time, unlike a trimming regex. */
export function trimOws(text: string): string {
  return /^[ \t]*(.*[^ \t]|)/s.exec(text)![1]!;
}

/** Removes whole members until the rest fits: those over 128 characters first, then from the right ("tracestate Limits"). */
function cut(members: string[]): string {
  for (const most of [LONG_MEMBER, 0]) {
    for (let i = members.length; i-- && members.join(",").length > MAX_LENGTH; ) {
      if (members[i]!.length > most) members.splice(i, 1);
    }
  }
  return members.join(",");
}
