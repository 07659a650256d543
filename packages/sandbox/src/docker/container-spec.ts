/** Decides what a sandbox's container is allowed. Pure. */
import { LIMITS } from "@valet/shared/limits";
import type { RunnerLimits } from "@valet/shared/protocol/sandbox-limits";
import type { ContainerCreateOptions } from "dockerode";
import { copyCommand } from "./copy-files.ts";
import { GUARD_CAPABILITIES, guardedCommand } from "./network-guard.ts";

/** The folder of a sandbox's volume. */
export const SANDBOX_FOLDER = "/sandbox";

/** The variables by which the entrypoint finds its folders, which it makes in an empty volume. */
const FOLDERS = {
  HOME: `${SANDBOX_FOLDER}/home`,
  VALET_WORKSPACE: `${SANDBOX_FOLDER}/workspace`,
  VALET_RUNNER_STATE: `${SANDBOX_FOLDER}/runner`,
  VALET_AGENT_FOLDER: `${SANDBOX_FOLDER}/agent`,
};

/** The folders that count as a sandbox's disk. What is in its temporary folders is memory. */
export const DISK_FOLDERS = [FOLDERS.VALET_WORKSPACE, FOLDERS.HOME] as const;

/**
 * What the supervisor and the runner may do, and the agent may not: start the agent as another user, signal it and know its
 * processes, and read and write its files. No capability over the host.
 */
export const RUNNER_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID", "SYS_PTRACE"] as const;

/**
 * The entrypoint's working directory. It is not the workspace, since runtimes read configuration from their working
 * directory, and the workspace's is the repository's.
 */
const WORKING_FOLDER = "/";

/** A container outlives its host's crash. If no host comes back its memory is free again after this time, and its files stay. */
const MAX_ALONE_MS = 12 * 3600 * 1000;

const GIB = 1024 ** 3;
/** Of `/dev/shm`: Docker's own default. */
const SHM_BYTES = 64 * 1024 ** 2;

/** Returns the file systems in memory: together at most half of the limit, so that filling them ends no process. */
function temporaryFolders(memoryBytes: number): Record<string, string> {
  const shared = (share: number) =>
    `rw,exec,nosuid,nodev,mode=1777,size=${Math.min(GIB, Math.floor(share * memoryBytes))}`;
  return {
    "/tmp": shared(5 / 16),
    "/var/tmp": shared(1 / 8),
    "/run": "rw,noexec,nosuid,nodev,mode=755,size=16m",
  };
}

const HARDENED = {
  // Reaps zombies, and passes signals on.
  Init: true,
  CapDrop: ["ALL"],
  SecurityOpt: ["no-new-privileges"],
  ReadonlyRootfs: true,
  LogConfig: { Type: "json-file", Config: { "max-size": "1m" } },
} as const;

/** Returns options that run a command instead of the image's own one. Podman ignores an empty entrypoint, and would start the image's. */
function instead([program, ...args]: readonly [string, ...string[]]) {
  return { Entrypoint: [program], Cmd: args };
}

export interface ContainerOptions {
  readonly name: string;
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The volume with the sandbox's files. */
  readonly volume: string;
  readonly network: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly isRestored: boolean;
  readonly limits: RunnerLimits;
}

/**
 * Returns the options of a sandbox's container, whose command begins as root with no more than {@link RUNNER_CAPABILITIES}: only what
 * guards its network before that has more.
 */
export function sandboxContainer(options: ContainerOptions): ContainerCreateOptions {
  const env = {
    LANG: "C.UTF-8",
    ...options.env,
    ...FOLDERS,
    VALET_RESTORED: options.isRestored ? "1" : "0",
    VALET_ISOLATION: "user",
    VALET_MAX_ALONE_MS: String(MAX_ALONE_MS),
    VALET_SANDBOX_LIMITS: JSON.stringify(options.limits),
  };
  return {
    name: options.name,
    Image: options.image,
    Labels: { ...options.labels },
    ...instead(guardedCommand(options.command)),
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    User: "0:0",
    WorkingDir: WORKING_FOLDER,
    AttachStdin: true,
    OpenStdin: true,
    StdinOnce: true,
    StopTimeout: Math.ceil(LIMITS.processGraceMs / 1000),
    HostConfig: {
      ...HARDENED,
      CapDrop: [...HARDENED.CapDrop],
      CapAdd: [...RUNNER_CAPABILITIES, ...GUARD_CAPABILITIES],
      SecurityOpt: [...HARDENED.SecurityOpt],
      Tmpfs: temporaryFolders(options.limits.memoryBytes),
      ShmSize: Math.min(SHM_BYTES, Math.floor(options.limits.memoryBytes / 16)),
      // With what it keeps in memory file systems, and without swap.
      Memory: options.limits.memoryBytes,
      MemorySwap: options.limits.memoryBytes,
      // Docker refuses a container whose processors it cannot limit; of the other limits it ignores those that it cannot hold.
      ...(options.limits.applied.cpu !== "none" && { NanoCpus: Math.round(options.limits.cpus * 1e9) }),
      PidsLimit: options.limits.processes,
      // So that the runner finds the container's own control group. Of version 1 it does so in any case, and engines may refuse that.
      ...(options.limits.containerGroup?.version === 2 && { CgroupnsMode: "private" }),
      NetworkMode: options.network,
      Mounts: [{ Type: "volume", Source: options.volume, Target: SANDBOX_FOLDER }],
    },
  };
}

/** Returns the options of a container that does nothing but be in a network, with no capability and no volume. */
export function idleContainer({ image, labels, network }: Pick<ContainerOptions, "image" | "labels" | "network">) {
  return {
    Image: image,
    Labels: { ...labels },
    ...instead(["sleep", "infinity"]),
    User: "65534:65534",
    WorkingDir: WORKING_FOLDER,
    HostConfig: {
      ...HARDENED,
      CapDrop: [...HARDENED.CapDrop],
      SecurityOpt: [...HARDENED.SecurityOpt],
      NetworkMode: network,
    },
  } satisfies ContainerCreateOptions;
}

/** Returns the options of a container that runs a script in the network of the engine's machine, with no capability but `NET_ADMIN`. */
export function networkScript({ image, labels }: Pick<ContainerOptions, "image" | "labels">, script: string) {
  const options = idleContainer({ image, labels, network: "host" });
  return {
    ...options,
    ...instead(["bash", "-c", script]),
    User: "0:0",
    HostConfig: { ...options.HostConfig, CapAdd: ["NET_ADMIN"] },
  } satisfies ContainerCreateOptions;
}

export interface CopyOptions {
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly from: string;
  readonly to: string;
}

/** Returns the options of a container that copies the files of a volume, without a network. */
export function copyContainer({ image, labels, from, to }: CopyOptions): ContainerCreateOptions {
  return {
    Image: image,
    Labels: { ...labels },
    ...instead(copyCommand("/from", "/to")),
    User: "0:0",
    WorkingDir: WORKING_FOLDER,
    HostConfig: {
      ...HARDENED,
      CapDrop: [...HARDENED.CapDrop],
      CapAdd: ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"],
      SecurityOpt: [...HARDENED.SecurityOpt],
      NetworkMode: "none",
      Mounts: [
        { Type: "volume", Source: from, Target: "/from", ReadOnly: true },
        { Type: "volume", Source: to, Target: "/to" },
      ],
    },
  };
}
