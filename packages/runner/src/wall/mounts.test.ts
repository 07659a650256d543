import { describe, expect, test } from "vitest";
import { type Machine, mountArguments } from "./mounts.ts";

const DEBIAN: Machine = {
  linkTarget: (path) => ({ "/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/lib64": "usr/lib64" })[path],
  realPath: (path) => (path === "/etc/resolv.conf" ? "/run/systemd/resolve/stub-resolv.conf" : path),
};
const OLD: Machine = { linkTarget: () => undefined, realPath: () => undefined };
const NOTHING = { own: [], readable: [], programs: [] };

/** The arguments as one operation each. */
function operations(args: readonly string[]): string[] {
  return args.join(" ").split(/ (?=--)/);
}

describe("what is visible behind a wall", () => {
  test("the links at the top stay links, and real folders are shown", () => {
    expect(operations(mountArguments(NOTHING, DEBIAN))).toContain("--symlink usr/bin /bin");
    expect(operations(mountArguments(NOTHING, OLD))).toContain("--ro-bind-try /bin /bin");
  });

  test("the resolver's configuration is a file, wherever its link leads, and absent where there is none", () => {
    const shown = "--ro-bind-try /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf";
    expect(operations(mountArguments(NOTHING, DEBIAN))).toContain(shown);
    expect(mountArguments(NOTHING, OLD).join(" ")).not.toContain("resolv.conf");
  });

  test("nothing of the machine can be written but the agent's own folders", () => {
    const files = { own: ["/state/s/workspace"], readable: ["/checkout/bundle"], programs: ["/home/me/.nvm/v20/bin"] };
    const writable = operations(mountArguments(files, DEBIAN)).filter((each) => each.startsWith("--bind"));
    expect(writable).toEqual(["--bind /state/s/workspace /state/s/workspace"]);
  });

  test("programs of a user are shown with their libraries, and nothing else beside them", () => {
    const files = {
      ...NOTHING,
      programs: ["/home/me/.cargo/bin", "/usr/bin", "relative", "", "/home/me/.pyenv/shims"],
    };
    const shown = operations(mountArguments(files, DEBIAN)).filter((each) => each.includes("/home/"));
    expect(shown.map((each) => each.split(" ")[1])).toEqual([
      "/home/me/.cargo/bin",
      "/home/me/.cargo/lib",
      "/home/me/.cargo/lib64",
      "/home/me/.cargo/libexec",
      "/home/me/.pyenv",
    ]);
  });

  test("what lies below a private folder is put there after it", () => {
    const files = { own: ["/tmp/s/workspace"], readable: ["/run/bundle"], programs: [] };
    const all = operations(mountArguments(files, DEBIAN));
    const placeOf = (start: string) => all.findIndex((each) => each.startsWith(start));
    expect(placeOf("--bind /tmp/s")).toBeGreaterThan(placeOf("--tmpfs /tmp"));
    expect(placeOf("--ro-bind-try /run/bundle")).toBeGreaterThan(placeOf("--tmpfs /run"));
  });

  test("what is hidden is empty and cannot be written, and what is shown below it is still there", () => {
    const hidden = [
      { path: "/etc/ssl/private", isFolder: true },
      { path: "/opt/valet", isFolder: true },
      { path: "/opt/key", isFolder: false },
    ];
    const own = ["/opt/valet/s/workspace"];
    const all = operations(mountArguments({ ...NOTHING, own, hidden }, DEBIAN));
    expect(all).toContain("--ro-bind /dev/null /opt/key");
    const places = [
      "--ro-bind-try /opt /opt",
      "--tmpfs /opt/valet",
      `--bind ${own[0]} ${own[0]}`,
      "--remount-ro /opt/valet",
    ];
    const indexes = places.map((each) => all.indexOf(each));
    expect(indexes).toEqual(indexes.toSorted((one, other) => one - other));
    expect(indexes).not.toContain(-1);
  });
});
