/** The pages of a session, as tabs. A page is added here when it works. */
export const TABS = [
  { to: "/sessions/$sessionId", text: "Session" },
  { to: "/sessions/$sessionId/traces", text: "Trace" },
] as const;
