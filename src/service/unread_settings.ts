/**
 * The compiler refuses an option that nobody reads. Each part of the program declares what it reads of
 * the configuration in the type of a parameter, and those types are listed here: a key that a row of the
 * table gives to a process, and that no part of that process declares, is named by an error below.
 */
import type { WatchSettings } from "../certificates/watch.ts";
import type { ConnectionSettings } from "../connection/connections.ts";
import type { PrepareSettings } from "../master/prepare.ts";
import type { KeyFor, KeysIn, LogConfig, Reads } from "../options/config.ts";
import type { Nothing } from "../options/option.ts";
import type { ListenerSettings } from "../os/socket_options.ts";
import type { FrontendDependencies } from "../worker/frontends.ts";
import type { LimitSettings } from "../worker/limits.ts";

type ReadByMaster =
  & PrepareSettings
  & WatchSettings
  & { readonly log: LogConfig }
  // The service's own.
  & Reads<"daemon" | "drainTimeout" | "listenReport" | "maxGenerations" | "pidFile">;

type ReadByWorker =
  & ConnectionSettings
  & ListenerSettings
  & { readonly limits: LimitSettings; readonly sessions: FrontendDependencies["sessions"] }
  // Its own.
  & Reads<"engine" | "log.level" | "pinWorkers">;

export type UnreadByMaster = Nothing<Exclude<KeyFor<"master">, KeysIn<ReadByMaster>>>;
export type UnreadByWorker = Nothing<Exclude<KeyFor<"worker">, KeysIn<ReadByWorker>>>;
