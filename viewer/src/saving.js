import { hasArrayShape, hasNumericType } from "@h5web/app";

const FORMATS = ["npy", "tiff"];

/** The address from which the service saves a dataset, told as it is shown; H5Web's own tells it as it is stored. */
export function saving(url, told) {
  return (format, dataset, selection, make) => {
    const isSent = !make && FORMATS.includes(format) && hasArrayShape(dataset) && hasNumericType(dataset);
    const asked = { ...told, path: dataset.path, format, ...(selection && { selection }) };
    return isSent ? new URL(`${url}/data?${new URLSearchParams(asked)}`) : undefined;
  };
}
