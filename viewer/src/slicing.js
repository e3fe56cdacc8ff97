// Where NXdata says which part of its signal is shown first; H5Web looks whether it is one.
const NAME = "default_slice";

/** What is fetched, with a slice told by each group of data: "3,:,:", an index or ":" for each dimension. */
export function slicing(fetchBytes, slice) {
  const places = slice.split(",").map((place) => place.trim().replace(":", "."));
  const telling = { meta: (told) => withAttribute(told, places.length), attr: (told) => ({ ...told, [NAME]: places }) };
  return async (url, ...asked) => {
    const bytes = await fetchBytes(url, ...asked);
    const tell = telling[new URL(url).pathname.split("/").pop()];
    return tell ? encoded(tell(JSON.parse(new TextDecoder().decode(bytes)))) : bytes;
  };
}

function withAttribute(told, length) {
  const kind = told.attributes?.find(({ name }) => name === "NX_class");
  const others = told.attributes?.filter(({ name }) => name !== NAME);
  return kind ? { ...told, attributes: [...others, { ...kind, name: NAME, shape: [length] }] } : told;
}

const encoded = (told) => new TextEncoder().encode(JSON.stringify(told)).buffer;
