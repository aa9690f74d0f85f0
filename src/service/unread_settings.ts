/**
 * Makes the compiler reject an option that no code reads. Each part of the program declares the
 * settings that it reads in the type of a parameter, and those types are listed here. If a row of
 * the option table lists a process as a reader and no part of that process declares the key, a
 * compile error below names the key.
 */
import type { WatchSettings } from "../certificates/watch.ts";
import type { ConnectionSettings } from "../connection/settings.ts";
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
  // Read by the service itself.
  & Reads<
    "admin.readyBackend" | "daemon" | "drainTimeout" | "listenReport" | "maxGenerations" | "pidFile"
  >;

type ReadByWorker =
  & ConnectionSettings
  & ListenerSettings
  & { readonly limits: LimitSettings; readonly sessions: FrontendDependencies["sessions"] }
  // Read by the worker itself.
  & Reads<"accessLog.format" | "accessLog.sample" | "engine" | "log.level" | "pinWorkers">;

export type UnreadByMaster = Nothing<Exclude<KeyFor<"master">, KeysIn<ReadByMaster>>>;
export type UnreadByWorker = Nothing<Exclude<KeyFor<"worker">, KeysIn<ReadByWorker>>>;
