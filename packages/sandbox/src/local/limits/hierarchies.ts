/** Reads which hierarchies of control groups are mounted, and where in them this process is (cgroups(7)). Pure. */
import { resolve } from "node:path";

/** The controllers that Valet uses. */
export const CONTROLLERS = ["memory", "pids", "cpu", "cpuacct"] as const;
export type Controller = (typeof CONTROLLERS)[number];

/** A mounted hierarchy. */
export interface Hierarchy {
  readonly version: 1 | 2;
  /** Of version 1: those that are mounted together here. Version 2 says in each folder which it has. */
  readonly controllers: readonly Controller[];
  /** The folder of the hierarchy's topmost group that this process can see. */
  readonly top: string;
  /** The folder of the group that this process is in. */
  readonly own: string;
}

/**
 * @param mountinfo `/proc/self/mountinfo`
 * @param membership `/proc/self/cgroup`
 */
export function hierarchiesOf(mountinfo: string, membership: string): Hierarchy[] {
  const groups = membership.split("\n").flatMap((line) => {
    const [, number, controllers, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    return path === undefined ? [] : [{ isV2: number === "0" && controllers === "", controllers, path }];
  });
  return mountinfo.split("\n").flatMap((line): Hierarchy[] => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root, mounted] = before.split(" ");
    const [type, , options = ""] = after.split(" ");
    if (root === undefined || mounted === undefined) return [];
    const top = unescaped(mounted);
    if (type === "cgroup2") {
      const group = groups.find(({ isV2 }) => isV2);
      return group === undefined ? [] : [{ version: 2, controllers: [], top, own: placeOf(top, root, group.path) }];
    }
    if (type !== "cgroup") return [];
    const mountedHere = options.split(",");
    const controllers = CONTROLLERS.filter((name) => mountedHere.includes(name));
    const group = groups.find((each) => controllers.some((name) => each.controllers?.split(",").includes(name)));
    return group === undefined ? [] : [{ version: 1, controllers, top, own: placeOf(top, root, group.path) }];
  });
}

/** Where a group is below the folder at which `root` of the hierarchy is mounted. A container may see a part of it only. */
function placeOf(top: string, root: string, path: string): string {
  const visible = unescaped(root);
  if (visible === "/") return path.startsWith("/..") ? top : resolve(top, `.${path}`);
  return path === visible || path.startsWith(`${visible}/`) ? resolve(top, `.${path.slice(visible.length)}`) : top;
}

/** Mount points have spaces and the like as octal numbers. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
