export {
  type DockerBrokerOptions,
  type ModalBrokerOptions,
  type SandboxBroker,
  type SandboxBrokerOptions,
  startDockerBroker,
  startModalBroker,
  startSandboxBroker,
} from "./broker.ts";
export { capacityOf, type MachineCapacity, machineCapacity } from "./capacity.ts";
export { hideEnvironment } from "./local/hide-environment.ts";
export { chooseIsolation, findNoWall, type NoWall } from "./local/isolation.ts";
export { limitWarning } from "./local/limits/local-limits.ts";
export { readLimits } from "./local/limits/wanted-limits.ts";
export { LogFile } from "./local/log-file.ts";
export { makeFolders } from "./local/make-folders.ts";
export { chooseNetwork, findNoNetwork } from "./local/network.ts";
export { makePrivateDirectory, requireUnshared } from "./local/private-directory.ts";
export { findProcessesWith, isAlive, listProcesses, type ProcessIdentity } from "./local/process-table.ts";
export { isDirectoryLocked, lockDirectory } from "./local/state-lock.ts";
