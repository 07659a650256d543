/** The pages of a session, as tabs. A page is added here when it works. */
export const TABS = [
  { to: "/sessions/$sessionId", text: "Session" },
  { to: "/sessions/$sessionId/traces", text: "Trace" },
  // The page about one message is this one, too.
  { to: "/sessions/$sessionId/why", text: "Why", also: "/sessions/$sessionId/messages/$messageId/why" },
  { to: "/sessions/$sessionId/changes", text: "Changes" },
] as const satisfies readonly { readonly to: string; readonly text: string; readonly also?: string }[];
