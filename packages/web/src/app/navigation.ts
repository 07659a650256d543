/** The pages in the header. A page is added here when it works. */
export const NAVIGATION = [
  { to: "/", text: "Inbox" },
  { to: "/turns", text: "Turns" },
] as const;
