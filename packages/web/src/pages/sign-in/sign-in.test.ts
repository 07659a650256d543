import fc from "fast-check";
import { expect, test } from "vitest";
import { destinationOf, ticketOf } from "./sign-in.ts";

test("a ticket is read from the fragment; whatever is none is ignored", () => {
  expect(ticketOf("#ticket=tkt_a-B_9")).toBe("tkt_a-B_9");
  for (const other of ["", "#", "#ticket=", "#ticket=<img>", `#ticket=${"a".repeat(101)}`, "#other=x"]) {
    expect(ticketOf(other)).toBeUndefined();
  }
});

test("signing in leads to the page that was asked for", () => {
  expect(destinationOf("/sessions/ses_1?span=a#b")).toBe("/sessions/ses_1?span=a#b");
  for (const other of [
    undefined,
    "",
    "//evil.test/x",
    "/\\evil.test",
    "https://evil.test",
    "javascript:alert(1)",
    "/sign-in?to=/",
    "/.//evil.test",
    "/a/..//evil.test",
    "/\t/evil.test",
  ]) {
    expect(destinationOf(other)).toBe("/");
  }
});

test("signing in never leads to another site", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("/", "\\", ".", "a", ":", "@", "\t", "\n", "?", "#", "%") }),
      (to) => {
        expect(new URL(destinationOf(to), "https://valet.test").origin).toBe("https://valet.test");
        expect(new URL(destinationOf(`/${to}`), "https://valet.test").origin).toBe("https://valet.test");
      },
    ),
  );
});
