import { UsageError } from "../base/errors.ts";
import type { Log } from "../base/log_entry.ts";
import { guarded } from "../log/guarded.ts";
import { formatEndpoint } from "../options/address.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { emptyQueues } from "./listeners/empty_queues.ts";
import type { Claim, Listeners } from "./listeners/listeners.ts";
import { frontendsText, type Prepared } from "./prepare.ts";
import type { WorkerServices } from "./worker_services.ts";
import { Generation } from "./workers/generation.ts";
import { type Generations, olderText } from "./workers/generations.ts";
import { differsInCertificatesOnly, startCommands } from "./workers/start_commands.ts";
import { WorkerProcess } from "./workers/worker_process.ts";

/**
 * A reload that has begun: every step that can fail is done, and the running configuration has not
 * changed. {@link Reloader.commit} must follow.
 */
export type BegunReload =
  | { readonly kind: "certificates"; readonly prepared: Prepared }
  | BegunGeneration;

interface BegunGeneration {
  readonly kind: "generation";
  readonly prepared: Prepared;
  /** Its workers accept connections. */
  readonly generation: Generation;
  readonly claim: Claim;
}

export interface ReloaderDependencies {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly generations: Generations;
  readonly listeners: Listeners;
  readonly services: WorkerServices;
}

/**
 * Puts a configuration into service: by new certificates in the running workers if nothing else
 * differs, otherwise by a new generation of workers. First `begin`, which can fail, then `commit`,
 * which cannot.
 */
export class Reloader {
  private readonly dependencies: ReloaderDependencies;
  private isStopped = false;

  constructor(dependencies: ReloaderDependencies) {
    this.dependencies = dependencies;
  }

  /**
   * Starts the first generation. Fulfilled when all of its workers accept connections. Rejected
   * with a UsageError if an address cannot be opened or a worker cannot start.
   */
  async start(prepared: Prepared): Promise<void> {
    const begun = await this.beginGeneration(prepared);
    this.succeed(begun);
    begun.claim.use();
    begun.claim.keep();
  }

  /**
   * Whether a reload to this configuration can begin now or must wait until a generation has ended.
   */
  hasRoomFor(prepared: Prepared): boolean {
    return this.canSwap(prepared) ||
      this.dependencies.generations.hasRoom(prepared.config.maxGenerations);
  }

  /**
   * Begins a reload. Fulfilled when the new workers, if any, accept connections. Rejected with a
   * UsageError if that fails; nothing has changed then.
   */
  async begin(prepared: Prepared): Promise<BegunReload> {
    if (!this.canSwap(prepared)) return await this.beginGeneration(prepared);
    this.dependencies.services.beginCertificates(prepared);
    return { kind: "certificates", prepared };
  }

  /**
   * Puts the configuration of a reload that has begun into service. Fulfilled when workers of older
   * ones accept no more; never rejected: a step that fails is logged.
   */
  async commit(begun: BegunReload): Promise<void> {
    if (begun.kind === "certificates") await this.commitCertificates(begun.prepared);
    else await this.commitGeneration(begun);
  }

  /** Begins no other reload and gives up one that has begun. Never throws. */
  stop(): void {
    const { log, generations } = this.dependencies;
    this.isStopped = true;
    void guarded(log, () => generations.next?.cut());
  }

  /**
   * Running workers can switch to new certificates, and nothing else differs. If none is running, the
   * reload must show that workers can start.
   */
  private canSwap(prepared: Prepared): boolean {
    const { runtime, services, generations } = this.dependencies;
    return runtime.capabilities.swapCertificates && generations.current!.isServing &&
      differsInCertificatesOnly(services.prepared, prepared);
  }

  /**
   * Starts the workers of a configuration. No older generation may be visible where their event
   * handlers are made, which would keep it in memory.
   */
  private async beginGeneration(prepared: Prepared): Promise<BegunGeneration> {
    const { generations, listeners, services } = this.dependencies;
    const { config, listeners: wanted } = prepared;
    await listeners.released(wanted);
    if (this.isStopped) throw new UsageError("stud is stopping");
    const claim = listeners.claim(wanted, config.workers, config);
    let generation: Generation | undefined;
    try {
      services.begin(prepared);
      await services.accessLogs.opened();
      if (this.isStopped) throw new UsageError("stud is stopping");
      generation = this.makeGeneration(prepared, claim);
      generations.next = generation;
      await generation.start();
      return { kind: "generation", prepared, generation, claim };
    } catch (error) {
      if (generation) generations.failed(generation, config.reloadDrainTimeout);
      services.drop();
      claim.drop();
      throw error;
    } finally {
      generations.next = undefined;
    }
  }

  /** A generation whose workers have not been started. */
  private makeGeneration(prepared: Prepared, claim: Claim): Generation {
    const { runtime, log, generations, listeners, services } = this.dependencies;
    const { config } = prepared;
    const { capabilities } = runtime;
    const backend = formatEndpoint(prepared.backend);
    const sockets = [...new Set(claim.fds.flat())];
    const { nextPipe } = services.accessLogs;
    const inherited = [prepared.storeFd, ...sockets, ...(nextPipe === undefined ? [] : [nextPipe])];
    const number = generations.nextNumber;
    const commands = startCommands(
      prepared,
      claim,
      sockets,
      {
        tickets: services.tickets?.ring,
        counted: services.counts.names.of(config, prepared.tls.alpn),
        accessLog: nextPipe !== undefined,
      },
    );
    const { sharesSockets } = listeners;
    const generation: Generation = new Generation(
      number,
      commands.map((command) => ({ ...command, sharesSockets })),
      {
        adopt: capabilities.adoptSockets,
        watchdog: config.watchdog,
        totals: services.counts.totals,
      },
      {
        spawn: (slot) => {
          const worker = new WorkerProcess(runtime, slot, number, inherited, log);
          return services.quotas.admit(worker, config.workers);
        },
        log,
        // The state of a backend that only older configurations use is not logged.
        shared: services.eventHandlers(() =>
          generation === generations.current || services.isBackend(backend)
        ),
        staples: () =>
          services.stapling.of(generation === generations.current ? services.prepared : prepared),
        ready: (slot) => generation === generations.current && services.workerReady(slot),
        empty: (empty) => generations.emptied(empty),
      },
    );
    return generation;
  }

  /** Makes a generation that has begun the current one. */
  private succeed({ prepared, generation }: BegunGeneration): void {
    const { generations, services } = this.dependencies;
    generations.succeed(generation);
    services.use(prepared, generation.slots);
    // Some may have come while the workers started.
    const staples = services.stapling.of(prepared);
    for (const slot of generation.slots) staples.forEach((staple) => slot.send(staple));
  }

  private async commitCertificates(prepared: Prepared): Promise<void> {
    const { log, generations, services } = this.dependencies;
    const { tls, backend } = prepared;
    const current = generations.current!;
    await guarded(log, () => {
      const staples = services.stapling.of(prepared);
      const next = staples.map((staple) => ({ ...staple, next: true } as const));
      for (const slot of current.slots) next.forEach((staple) => slot.send(staple));
    });
    const swapped = await guarded(log, () => current.swap(tls)) ?? 0;
    await guarded(log, () => current.update({ backend }, { type: "backend", backend }));
    services.use(prepared, current.slots);
    const workers = current.slots.length;
    const where = swapped === workers
      ? "the running workers"
      : `${swapped} of ${workers} workers; the others use it as soon as they run`;
    const message = `reloaded the configuration in ${where}`;
    const level = swapped === workers ? "info" : "warn";
    log({ level, event: "reloaded", message, facts: { workers, swapped } });
  }

  private async commitGeneration(begun: BegunGeneration): Promise<void> {
    const { runtime, log, generations } = this.dependencies;
    const { claim, prepared, prepared: { config } } = begun;
    const old = generations.current!;
    await guarded(log, () => this.succeed(begun));
    // Only the old workers serve addresses that the new configuration does not have.
    await guarded(log, () => emptyQueues(runtime.libc, claim.use()));
    await guarded(log, () => generations.drain(old, config.reloadDrainTimeout));
    await guarded(log, () => claim.keep());
    const frontends = frontendsText(prepared);
    const { generation, older, connections } = generations.census();
    const message = `reloaded the configuration: listening on ${frontends}, workers: ` +
      `${config.workers}, generation ${generation}${olderText(older, connections)}`;
    // Halfway to where a reload has to wait.
    const level = older * 2 >= config.maxGenerations ? "warn" : "info";
    const facts = { frontends, workers: config.workers, generation, older, connections };
    log({ level, event: "reloaded", message, facts });
  }
}
