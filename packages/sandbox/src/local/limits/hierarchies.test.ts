import { describe, expect, test } from "vitest";
import { hierarchiesOf } from "./hierarchies.ts";

const mount = (point: string, type: string, options: string, root = "/") =>
  `31 30 0:28 ${root} ${point} rw,relatime shared:9 - ${type} ${type} rw,${options}`;

describe("hierarchies of control groups", () => {
  test("version 2 alone, as with systemd", () => {
    const found = hierarchiesOf(
      mount("/sys/fs/cgroup", "cgroup2", "nsdelegate"),
      "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope\n",
    );
    expect(found).toEqual([
      {
        version: 2,
        controllers: [],
        top: "/sys/fs/cgroup",
        own: "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope",
      },
    ]);
  });

  test("both versions, with controllers that are mounted together and some that nobody needs", () => {
    const mounts = [
      mount("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "cpu,cpuacct"),
      mount("/sys/fs/cgroup/memory", "cgroup", "memory"),
      mount("/sys/fs/cgroup/systemd", "cgroup", "name=systemd"),
      mount("/sys/fs/cgroup/unified", "cgroup2", "x"),
      mount("/proc", "proc", "x"),
    ].join("\n");
    const found = hierarchiesOf(mounts, "5:memory:/a b\n3:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n");
    expect(found.map(({ version, controllers, own }) => [version, controllers, own])).toEqual([
      [1, ["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct"],
      [1, ["memory"], "/sys/fs/cgroup/memory/a b"],
      [2, [], "/sys/fs/cgroup/unified"],
    ]);
  });

  test("in a container the mount shows a part of the hierarchy", () => {
    const inside = mount("/sys/fs/cgroup/memory", "cgroup", "memory", "/docker/abc");
    expect(hierarchiesOf(inside, "5:memory:/docker/abc\n")[0]?.own).toBe("/sys/fs/cgroup/memory");
    expect(hierarchiesOf(inside, "5:memory:/docker/abc/x\n")[0]?.own).toBe("/sys/fs/cgroup/memory/x");
    expect(hierarchiesOf(inside, "5:memory:/docker/abcd\n")[0]?.own).toBe("/sys/fs/cgroup/memory");
    // In a namespace of its own, whose root is elsewhere.
    const namespaced = mount("/sys/fs/cgroup", "cgroup2", "x");
    expect(hierarchiesOf(namespaced, "0::/../other\n")[0]?.own).toBe("/sys/fs/cgroup");
  });

  test("mount points with spaces, and no control groups at all", () => {
    const spaced = mount("/my\\040groups", "cgroup2", "x");
    expect(hierarchiesOf(spaced, "0::/\n")[0]?.top).toBe("/my groups");
    expect(hierarchiesOf("", "")).toEqual([]);
    expect(hierarchiesOf(spaced, "4:pids:/\n")).toEqual([]);
  });
});
