/**
 * Makes a control group for each sandbox, where this machine lets the broker: below the broker's own group, so that limits of the
 * broker's surroundings hold, too. Version 2 comes first: a controller is in one version's hierarchy only.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join } from "node:path";
import type { AppliedLimits, ControlGroup, SandboxLimits } from "@valet/shared/protocol/sandbox-limits";
import { z } from "zod";
import { emptied } from "./empty-group.ts";
import { makeGroup, membersOf, removeGroup, settingsOf } from "./group-files.ts";
import { CONTROLLERS, type Controller, type Hierarchy, hierarchiesOf } from "./hierarchies.ts";
import { areKin } from "./kin.ts";

/** The folder with the groups of one broker's sandboxes, in each hierarchy. */
type Places =
  | { readonly version: 2; readonly folder: string }
  | ({ readonly version: 1 } & Partial<Record<Controller, string>>);

/** The broker's own processes go there, since of version 2 only groups without processes may have groups with controllers below. */
const BROKER_GROUP = "valet-broker";
const PLACE_NAME = /^valet-[0-9a-f]{12}$/;
/** In the state directory: all places that may still be there, of this broker and of earlier ones, whose own group may have been another. */
const PLACES_FILE = "control-groups.json";
const PlacesFile = z.array(z.string());

export class ControlGroups {
  /** By which of the two versions each limit holds. */
  readonly applied: Pick<AppliedLimits, "memory" | "cpu" | "processes">;
  readonly #places: Places | undefined;
  readonly #controllers: readonly Controller[];

  private constructor(places: Places | undefined, controllers: readonly Controller[]) {
    this.#places = places;
    this.#controllers = controllers;
    const by = (controller: Controller) =>
      places !== undefined && controllers.includes(controller) ? (`cgroup${places.version}` as const) : "none";
    this.applied = { memory: by("memory"), cpu: by("cpu"), processes: by("pids") };
  }

  /**
   * Removes what earlier brokers of the state directory left, and finds out what can be limited by making a group. Never rejects.
   * @param brokerId this broker's alone
   * @param hierarchies this machine's, if omitted
   */
  static async open(
    stateDir: string,
    brokerId: string,
    limits: SandboxLimits,
    hierarchies = readHierarchies(),
  ): Promise<ControlGroups> {
    const left = await removePlaces(readPlaces(stateDir));
    const name = placeName(brokerId);
    // Before they are made: a broker that dies right after that must not leave what nobody knows of.
    keepPlaces(stateDir, [...left, ...candidatesIn(hierarchies, name)]);
    const v2 = hierarchies.find(({ version }) => version === 2);
    const found = (v2 && tryV2(v2, name, limits)) ?? tryV1(hierarchies, name, limits);
    if (found === undefined) {
      keepPlaces(stateDir, left);
      return new ControlGroups(undefined, []);
    }
    const { places, controllers } = found;
    keepPlaces(stateDir, [...left, ...foldersOf(places)]);
    return new ControlGroups(places, controllers);
  }

  /** Makes the group of a sandbox; `undefined` where none can be. @throws if it could be made before, and cannot now */
  create(sandboxId: string, limits: SandboxLimits): ControlGroup | undefined {
    const places = this.#places;
    if (places === undefined) return undefined;
    if (places.version === 2) {
      const path = join(places.folder, sandboxId);
      makeGroup(
        path,
        this.#controllers.flatMap((each) => settingsOf(2, each, limits, availableParallelism())),
      );
      return { version: 2, path };
    }
    const group: { version: 1 } & Partial<Record<Controller, string>> = { version: 1 };
    for (const each of this.#controllers) {
      const path = join(places[each] as string, sandboxId);
      makeGroup(path, settingsOf(1, each, limits, availableParallelism()));
      group[each] = path;
    }
    return group;
  }

  /** Removes the group of a sandbox, with what still runs in it. Idempotent. @throws if that cannot be */
  async remove(sandboxId: string): Promise<void> {
    if (this.#places === undefined) return;
    await Promise.all(foldersOf(this.#places).map((folder) => removeGroup(join(folder, sandboxId))));
  }

  /** Removes the places, which no sandbox uses any more. */
  async close(): Promise<void> {
    if (this.#places !== undefined) await Promise.all(foldersOf(this.#places).map(removeGroup));
  }
}

/** Returns the hierarchies that are mounted; none on a machine without control groups. */
function readHierarchies(): Hierarchy[] {
  try {
    return hierarchiesOf(readFileSync("/proc/self/mountinfo", "utf8"), readFileSync("/proc/self/cgroup", "utf8"));
  } catch {
    return [];
  }
}

interface Found {
  readonly places: Places;
  readonly controllers: readonly Controller[];
}

function foldersOf(places: Places): string[] {
  if (places.version === 2) return [places.folder];
  return [...new Set(CONTROLLERS.flatMap((each) => places[each] ?? []))];
}

/**
 * Returns the name of a broker's places. It is the broker's alone: its guardian, which removes them, may do so at any time, while the next
 * broker makes its own.
 */
function placeName(brokerId: string): string {
  return `valet-${createHash("sha256").update(brokerId).digest("hex").slice(0, 12)}`;
}

/** Returns the folders that may become the places of a broker. */
function candidatesIn(hierarchies: readonly Hierarchy[], name: string): string[] {
  const parents = hierarchies.flatMap((each) => (each.version === 2 ? parentsIn(each) : [each.own]));
  return [...new Set(parents)].map((parent) => join(parent, name));
}

/** Tries a group in each hierarchy of version 1, and keeps those in which its limits can be written. */
function tryV1(hierarchies: readonly Hierarchy[], name: string, limits: SandboxLimits): Found | undefined {
  const places: { version: 1 } & Partial<Record<Controller, string>> = { version: 1 };
  for (const { version, controllers, own } of hierarchies) {
    if (version !== 1) continue;
    const place = join(own, name);
    for (const each of controllers) {
      if (canLimit(place, () => settingsOf(1, each, limits, availableParallelism()))) places[each] = place;
    }
    if (!controllers.some((each) => places[each] !== undefined)) attempt(() => rmdirSync(place));
  }
  const controllers = CONTROLLERS.filter((each) => places[each] !== undefined);
  return controllers.length === 0 ? undefined : { places, controllers };
}

/** Returns the broker's own group, and, for root, the topmost one: that of a login holds processes which are none of ours. */
function parentsIn({ own, top }: Hierarchy): string[] {
  // A broker that made room for groups has left its shell in a group below.
  return [...new Set([basename(own) === BROKER_GROUP ? dirname(own) : own, top])];
}

function tryV2(hierarchy: Hierarchy, name: string, limits: SandboxLimits): Found | undefined {
  for (const parent of parentsIn(hierarchy)) {
    const place = join(parent, name);
    const handedDown = handDown(parent);
    if (handedDown.length === 0) continue;
    try {
      mkdirSync(place, { recursive: true });
    } catch {
      continue;
    }
    const below = enable(place, handedDown);
    const controllers = below.filter((each) =>
      canLimit(place, () => settingsOf(2, each, limits, availableParallelism())),
    );
    if (controllers.length > 0) return { places: { version: 2, folder: place }, controllers };
    attempt(() => rmdirSync(place));
  }
  return undefined;
}

/**
 * Hands controllers down to the groups below one. Only the root of all groups may have processes of its own and such groups. In any other the
 * kernel would enable a part of the controllers, cpu and pids, and then refuse processes to the groups below (cgroups(7), thread mode).
 */
function handDown(parent: string): Controller[] {
  return isRootOfAll(parent) || makeRoom(parent) ? enable(parent, availableIn(parent)) : [];
}

/** The top that a container or another namespace sees is none. */
function isRootOfAll(folder: string): boolean {
  return !existsSync(join(folder, "cgroup.type"));
}

/** Moves the processes of a group into one below, if all are the broker's own. @returns whether none is left in it */
function makeRoom(parent: string): boolean {
  const leaf = join(parent, BROKER_GROUP);
  return emptied({
    members: () => membersOf(parent),
    areOwn: areKin,
    move: (pid) => {
      mkdirSync(leaf, { recursive: true });
      writeFileSync(join(leaf, "cgroup.procs"), `${pid}`, { flag: "r+" });
    },
  });
}

/** Enables these controllers for the groups below one. @returns those that are enabled */
function enable(folder: string, controllers: readonly Controller[]): Controller[] {
  // One by one, since one that cannot be enabled would prevent the others.
  for (const each of controllers) {
    attempt(() => writeFileSync(join(folder, "cgroup.subtree_control"), `+${each}`, { flag: "r+" }));
  }
  const enabled = namesIn(join(folder, "cgroup.subtree_control"));
  return controllers.filter((each) => enabled.includes(each));
}

function availableIn(folder: string): Controller[] {
  const available = namesIn(join(folder, "cgroup.controllers"));
  return CONTROLLERS.filter((each) => available.includes(each));
}

function namesIn(file: string): string[] {
  return attempt(() => readFileSync(file, "latin1").trim().split(" ")) ?? [];
}

/** Whether a group with these settings can be made below `place`. */
function canLimit(place: string, settings: () => ReturnType<typeof settingsOf>): boolean {
  const trial = join(place, "trial");
  const isPossible = attempt(() => {
    makeGroup(trial, settings());
    return existsSync(join(trial, "cgroup.procs"));
  });
  attempt(() => rmdirSync(trial));
  return isPossible === true;
}

/** Removes the groups of a broker of the state directory that is gone, with what runs in them, and nothing of another. Never rejects. */
export async function removeLeft(stateDir: string, brokerId: string): Promise<void> {
  await removePlaces(readPlaces(stateDir).filter((path) => basename(path) === placeName(brokerId)));
}

/** Returns those that could not be removed. Never rejects. */
async function removePlaces(places: readonly string[]): Promise<string[]> {
  const results = await Promise.allSettled(places.map(removeGroup));
  return places.filter((_, index) => results[index]?.status === "rejected");
}

/** Returns the places that the state directory names. */
function readPlaces(stateDir: string): string[] {
  const file = join(stateDir, PLACES_FILE);
  const places = attempt(() => PlacesFile.parse(JSON.parse(readFileSync(file, "utf8")))) ?? [];
  return places.filter((path) => PLACE_NAME.test(basename(path)));
}

/** A state directory that cannot be written is noticed elsewhere. */
function keepPlaces(stateDir: string, folders: readonly string[]): void {
  const file = join(stateDir, PLACES_FILE);
  attempt(() => {
    writeFileSync(`${file}.new`, JSON.stringify(folders), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  });
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
