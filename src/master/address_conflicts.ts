/** Addresses of a configuration that contradict each other. */
import type { AdminPlan } from "../admin/admin_plan.ts";
import { formatEndpoint } from "../options/address.ts";
import type { Endpoint, IpEndpoint } from "../os/endpoint.ts";
import { isWildcard } from "../os/ip.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Wanted } from "./listeners/listeners.ts";
import { localFault } from "./listeners/sockets.ts";

/** Clients of a frontend must not get to the admin endpoint, nor the reverse. */
export function adminConflicts(
  runtime: Runtime,
  { endpoints, dualStack }: AdminPlan,
  frontends: readonly Wanted[],
  backend: Endpoint | undefined,
): string[] {
  const own = endpoints.map((endpoint) => ({ endpoint, dualStack }));
  const problems = own.flatMap((admin) =>
    frontends.some((frontend) => overlap(admin, frontend))
      ? [`--admin: ${formatEndpoint(admin.endpoint)} is a frontend; choose another address`]
      : []
  );
  if (backend && leadsTo(runtime, own, backend)) {
    problems.push(
      `--backend: ${formatEndpoint(backend)} is the admin endpoint, which all clients could use; ` +
        "specify the address of your server",
    );
  }
  return problems;
}

/** Whether both cannot be bound: they are equal, or one is a wildcard that includes the other. */
function overlap(a: Wanted, b: Wanted): boolean {
  const [one, other] = [a.endpoint, b.endpoint];
  if (formatEndpoint(one) === formatEndpoint(other)) return true;
  if (one.family === "unix" || other.family === "unix" || one.port !== other.port) return false;
  const covers = (wildcard: Wanted, endpoint: IpEndpoint) =>
    isWildcard(wildcard.endpoint as IpEndpoint) &&
    (wildcard.dualStack || wildcard.endpoint.family === endpoint.family);
  return covers(a, other) || covers(b, one);
}

/** A backend that is a frontend would forward each connection to itself until a limit is reached. */
export function loops(runtime: Runtime, listeners: readonly Wanted[], backend: Endpoint): string[] {
  if (!leadsTo(runtime, listeners, backend)) return [];
  return [
    `--backend: ${formatEndpoint(backend)} is a frontend, so that connections would never leave ` +
    "stud; specify the address of your server",
  ];
}

/** Whether a connection to the backend's address reaches one of these sockets. */
function leadsTo({ libc }: Runtime, listeners: readonly Wanted[], backend: Endpoint): boolean {
  return listeners.some(({ endpoint, dualStack }) => {
    if (formatEndpoint(endpoint) === formatEndpoint(backend)) return true;
    if (endpoint.family === "unix" || backend.family === "unix") return false;
    const isOfFamily = endpoint.family === backend.family || (dualStack && endpoint.family === 6);
    return endpoint.port === backend.port && isOfFamily && isWildcard(endpoint) &&
      localFault(libc, backend) === undefined;
  });
}
