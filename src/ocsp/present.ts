/** `#ocsp` of builds that staple: what needs the library which reads OCSP responses. */
export { runOcsp } from "./ocsp_process.ts";
export { readResponseFile } from "./response_file.ts";
