import { App, createBasicFetcher, H5GroveProvider } from "@h5web/app";

import { slicing } from "./slicing.js";

const fetchAll = createBasicFetcher();

/** One file, as H5Web shows it. */
export function File({ file, asked }) {
  const told = { file, as: asked.get("as") ?? "plotted" };
  const slice = asked.get("slice");
  const fetchBytes = slice ? slicing(fetchAll, slice) : fetchAll;
  document.title = `${file.split("/").pop()} - nexus_xr`;
  return (
    <H5GroveProvider
      url={new URL("h5grove", document.baseURI).href}
      filepath={file}
      fetcher={(url, params, options) => fetchBytes(url, { ...params, ...told }, options)}
    >
      <App initialPath={asked.get("path") ?? undefined} disableDarkMode />
    </H5GroveProvider>
  );
}
