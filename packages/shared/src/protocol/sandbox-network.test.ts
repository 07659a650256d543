import { expect, test } from "vitest";
import { slirpCommand } from "./sandbox-network.ts";

test("root's slirp4netns has mounts of its own, so that its sandbox unmounts nothing of the machine's; a user's needs none", () => {
  const own = slirpCommand(7, { readyFd: 3, exitFd: 4 }, true);
  const [first, second, ...ofRoot] = own;
  expect(ofRoot.slice(0, 4)).toEqual(["/usr/bin/unshare", "--mount", "--propagation=private", "/usr/bin/slirp4netns"]);
  const users = slirpCommand(7, { readyFd: 3, exitFd: 4 }, false);
  expect(users).toEqual([first, second, ...ofRoot.slice(3)]);
  expect(users).toContain("--enable-sandbox");
});
