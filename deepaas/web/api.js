// Starts Swagger UI on the document of the server that this page comes from.
//
// Where the routes are follows from the address of the page, and so a proxy may cut off
// or change a prefix without telling the server. The query of the page is not read.
"use strict";

(() => {
  const main = document.getElementById("swagger-ui");
  const root = location.pathname.replace(/\/+/g, "/").replace(/\/api\/?$/, "");
  const url = new URL(`${root}/swagger.json`, location.origin).href;
  // The server's own --base-path, with which the paths of the document begin.
  const { basePath } = main.dataset;

  const move = (spec) => ({
    ...spec,
    basePath: root || undefined,
    paths: Object.fromEntries(
      Object.entries(spec.paths).map(([path, item]) => [
        path.slice(basePath.length),
        item,
      ]),
    ),
  });

  SwaggerUIBundle({
    url,
    domNode: main,
    presets: [SwaggerUIBundle.presets.apis],
    deepLinking: true,
    queryConfigEnabled: false,
    validatorUrl: null, // its default is a site of others
    responseInterceptor: (response) => {
      if (response.url === url && response.ok) {
        response.text = JSON.stringify(move(JSON.parse(response.text)));
      }
      return response;
    },
  });
})();
