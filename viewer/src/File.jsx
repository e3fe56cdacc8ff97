import { App, createBasicFetcher, H5GroveProvider } from "@h5web/app";

import { saving } from "./saving.js";
import { slicing } from "./slicing.js";

const fetchAll = createBasicFetcher();

/** One file, as H5Web shows it. */
export function File({ file, asked }) {
  const told = { file, as: asked.get("as") ?? "plotted" };
  const url = new URL("h5grove", document.baseURI).href;
  const slice = asked.get("slice");
  const fetchBytes = slice ? slicing(fetchAll, slice) : fetchAll;
  document.title = `${file.split("/").pop()} - nexus_xr`;
  return (
    <H5GroveProvider
      url={url}
      filepath={file}
      fetcher={(place, params, options) => fetchBytes(place, { ...params, ...told }, options)}
      getExportURL={saving(url, told)}
    >
      <App initialPath={asked.get("path") ?? undefined} disableDarkMode />
    </H5GroveProvider>
  );
}
