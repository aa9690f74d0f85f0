/** A helper process that echoes each command, and throws at some. */
import * as runtime from "#runtime";
import { eventWriter } from "../../src/control/frame_writer.ts";
import { runHelper } from "../../src/control/helper.ts";

const events = eventWriter(runtime.libc);
runHelper<{ readonly throws?: string }>({
  events,
  handle(command) {
    if (command.throws !== undefined) throw new Error(command.throws);
    events.send(command);
  },
  internalError: (error) => events.sendLog(() => ({ error: (error as Error).message })),
});
