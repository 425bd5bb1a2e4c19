// Shows the published document, with this server first, so that "Try it out" calls the server the page came from.
const here = new URL(".", window.location.href);

fetch(new URL("openapi.json", here))
  .then((answer) => answer.json())
  .then((spec) => {
    document.title = spec.info.title;
    const thisServer = { url: here.href.replace(/\/$/, ""), description: "This server" };
    window.ui = SwaggerUIBundle({
      dom_id: "#api",
      spec: { ...spec, servers: [thisServer, ...spec.servers] },
      deepLinking: true,
      displayRequestDuration: true,
      validatorUrl: null,
    });
  });
