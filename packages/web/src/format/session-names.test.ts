import { expect, test } from "vitest";
import { repositoryName, sessionTitle } from "./session-names.ts";

test("a repository is named by its owner and its name, however its URL is written", () => {
  expect(
    [
      "https://github.com/acme/shop.git",
      "git@github.com:acme/shop.git",
      "ssh://git@host.test/acme/shop",
      "https://host.test/group/sub/acme/shop.git/",
      "file:///tmp/valet/demo.git",
      "https://host.test/",
    ].map(repositoryName),
  ).toEqual(["acme/shop", "acme/shop", "acme/shop", "acme/shop", "valet/demo", "https://host.test/"]);
  expect([repositoryName(null), repositoryName(undefined)]).toEqual([undefined, undefined]);
});

test("a session without a title is named by its id", () => {
  const id = "ses_0123456789abcdefghijklmnop";
  expect(sessionTitle({ id, title: "Mend it" })).toBe("Mend it");
  for (const title of [undefined, null, "", "  "]) expect(sessionTitle({ id, title })).toBe("ses_01234567…");
});
