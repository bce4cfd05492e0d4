"""The aiohttp application: who asks, whether they may, which answer it is. What answers say stands elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from kopf_leader.testing.apiserver import discovery, lists, patches, watches
from kopf_leader.testing.apiserver.auth import Attributes, Authority, User
from kopf_leader.testing.apiserver.decoding import load
from kopf_leader.testing.apiserver.objects import Objects
from kopf_leader.testing.apiserver.resources import Registry, Resource
from kopf_leader.testing.apiserver.selectors import Selector, parse
from kopf_leader.testing.apiserver.statuses import (
    Body,
    PageNotFound,
    Refused,
    details,
    method_not_allowed,
    no_such_resource,
    unsupported_media,
)
from kopf_leader.testing.apiserver.storage import Storage, Stored, encode
from kopf_leader.testing.apiserver.targets import Target, target_of

OnRequest = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
BODIES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
LARGEST = 3 * 1024 * 1024
REVIEW = Resource(
    group="authorization.k8s.io", version="v1", plural="selfsubjectaccessreviews", kind="SelfSubjectAccessReview"
)
REVIEWS = ("authorization.k8s.io", "v1", "selfsubjectaccessreviews")


class Service:
    """Answers requests from the store."""

    def __init__(self, storage: Storage, registry: Registry, authority: Authority) -> None:
        self.storage = storage
        self.registry = registry
        self.authority = authority
        self.objects = Objects(storage, registry)
        self.pace = watches.Pace()
        self.on_request: OnRequest | None = None
        self.gone_as_status = False
        self._serving: set[asyncio.Future[web.StreamResponse]] = set()
        self.requests: Counter[tuple[str, str, str]] = Counter()

    def application(self) -> web.Application:
        """A new application on this service."""
        app = web.Application(client_max_size=LARGEST)
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        target = target_of(request)
        if target.verb == "watch":
            return await self._serve(request, target)
        try:
            await request.read()
        except web.HTTPRequestEntityTooLarge:
            message = f"Request entity too large: limit is {LARGEST}"
            large = Refused(413, message, reason="RequestEntityTooLarge", details={})
            return _json(encode(large.status), status=413)
        # Once it is here, a request takes effect even if its client goes away, as with the real API server.
        task = asyncio.ensure_future(self._serve(request, target))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return await asyncio.shield(task)

    async def end(self) -> None:
        """Cancel what is still held up by a hook."""
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, request: web.Request, target: Target) -> web.StreamResponse:
        if self.on_request is not None:
            answer = await self.on_request(request)
            if answer is not None:
                return answer
        return await self._refusable(self._answer(request, target))

    async def _refusable(self, answer: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        try:
            return await answer
        except Refused as refusal:
            return _json(encode(refusal.status), status=refusal.code)
        except PageNotFound:
            return web.Response(status=404, text="404 page not found\n")

    async def _answer(self, request: web.Request, target: Target) -> web.StreamResponse:
        user = self.authority.authenticate(request.headers.get("Authorization", ""))
        self.requests[user.name, target.verb, target.plural or target.path] += 1
        selected = _selected_name(request.query) if not target.name else ""
        self.authority.authorize(user, target.attributes(selected=selected))
        if not target.plural:
            return self._plain(request, target)
        if (target.group, target.version, target.plural) == REVIEWS:
            return await self._review(request, user)
        resource = self._resource(target)
        raw = await request.read()
        query = request.query
        match target.verb:
            case "get":
                stored = self.objects.get(resource, target.namespace, target.name)
                return _object(resource, stored)
            case "list":
                found, meta = self._select(resource, target, query)
                return _json(lists.render(resource, found, meta))
            case "watch":
                return await self._watch(request, resource, target)
            case "create":
                _require_json(request)
                stored = self.objects.create(resource, target.namespace, load(resource, raw), dry_run=_dry(query))
                return _object(resource, stored, status=201)
            case "update":
                _require_json(request)
                return self._replace(user, resource, target, load(resource, raw), dry_run=_dry(query))
            case "patch":
                apply = patches.parse(request.content_type, raw, custom=resource.custom)
                stored = self.objects.patch(
                    resource, target.namespace, target.name, apply, subresource=target.subresource, dry_run=_dry(query)
                )
                return _object(resource, stored)
            case "delete":
                return self._delete(resource, target, _options(raw, query), dry_run=_dry(query))
            case _:
                return self._delete_many(resource, target, query)

    def _plain(self, request: web.Request, target: Target) -> web.Response:
        """Paths that are no resource: health, version, discovery."""
        parts = target.path.strip("/").split("/")
        if request.method not in {"GET", "HEAD"}:
            raise method_not_allowed()
        modern = discovery.wants_aggregated(request.headers.get("Accept", ""))
        match parts:
            case ["healthz" | "livez" | "readyz", *_]:
                return web.Response(text="ok")
            case ["version"]:
                return _json(encode(discovery.VERSION))
            case ["api" | "apis"] if modern:
                document = discovery.aggregated(self.registry, core=parts == ["api"])
                return web.Response(body=encode(document), headers={"Content-Type": discovery.AGGREGATED})
            case ["api"]:
                return _json(encode(discovery.core_versions(request.host)))
            case ["apis"]:
                return _json(encode(discovery.group_list(self.registry)))
            case ["apis", group]:
                return _json(encode(discovery.group(self.registry, group)))
            case ["api", version]:
                return _json(encode(discovery.resource_list(self.registry, "", version)))
            case ["apis", group, version]:
                return _json(encode(discovery.resource_list(self.registry, group, version)))
            case _:
                raise PageNotFound

    def _resource(self, target: Target) -> Resource:
        """The resource of a target; refused when there is none, or not at this place, or not with this method."""
        served = self.registry.of(group=target.group, version=target.version)
        resource = self.registry.find(target.group, target.version, target.plural)
        if (target.group and not served) or (served and resource is None and served[0].custom):
            raise PageNotFound
        if resource is None or target.misplaced:
            raise no_such_resource()
        across = target.verb in {"list", "watch", "deletecollection"}
        if resource.namespaced != bool(target.namespace) and not (resource.namespaced and across):
            raise PageNotFound if resource.custom else self._elsewhere(target)
        if target.subresource and not (target.subresource == "status" and resource.status):
            if resource.custom:
                self.objects.get(resource, target.namespace, target.name)
                message = details(resource.group, resource.plural, target.name)
                told = f'{resource.plural}.{resource.group} "{target.name}" not found'
                raise Refused(404, told, reason="NotFound", details=message)
            raise no_such_resource()
        unnamed = not target.name and target.verb in {"update", "patch"}
        if unnamed or (target.name and target.verb == "create") or (target.subresource and target.verb == "delete"):
            raise method_not_allowed()
        if target.verb not in resource.verbs:
            raise method_not_allowed()
        return resource

    def _elsewhere(self, target: Target) -> Refused:
        return method_not_allowed() if target.verb == "create" and not target.name else no_such_resource()

    def _selector(self, resource: Resource, query: Mapping[str, str]) -> Selector:
        return parse(query.get("labelSelector", ""), query.get("fieldSelector", ""), resource.selectable)

    def _select(self, resource: Resource, target: Target, query: Mapping[str, str]) -> tuple[list[Stored], Body]:
        return lists.select(self.storage, resource, target.namespace, self._selector(resource, query), query)

    def _replace(self, user: User, resource: Resource, target: Target, body: Body, *, dry_run: bool) -> web.Response:
        create = Attributes(
            verb="create",
            group=target.group,
            resource=target.plural,
            namespace=target.namespace,
            name=target.name,
        )
        stored, created = self.objects.replace(
            resource,
            target.namespace,
            target.name,
            body,
            subresource=target.subresource,
            dry_run=dry_run,
            may_create=lambda: self.authority.authorize(user, create),
        )
        return _object(resource, stored, status=201 if created else 200)

    def _delete(self, resource: Resource, target: Target, options: Body, *, dry_run: bool) -> web.Response:
        stored, gone = self.objects.delete(resource, target.namespace, target.name, options=options, dry_run=dry_run)
        if not gone:
            return _object(resource, stored)
        meta = stored.body["metadata"]
        about = details(resource.group, resource.plural, meta["name"], uid=meta["uid"])
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": about}
        return _json(encode(status))

    def _delete_many(self, resource: Resource, target: Target, query: Mapping[str, str]) -> web.Response:
        found, meta = self._select(resource, target, query)
        for stored in found:
            old = stored.body["metadata"]
            self.objects.delete(resource, old.get("namespace", ""), old["name"], dry_run=_dry(query))
        return _json(lists.render(resource, found, meta))

    async def _review(self, request: web.Request, user: User) -> web.Response:
        """SelfSubjectAccessReview: may I?"""
        if request.method != "POST":
            raise method_not_allowed()
        _require_json(request)
        body = load(REVIEW, await request.read())
        spec: Body = body.get("spec") or {}
        wanted: Body = spec.get("resourceAttributes") or {}
        plain: Body = spec.get("nonResourceAttributes") or {}
        attributes = Attributes(
            verb=str(wanted.get("verb") or plain.get("verb") or ""),
            path=plain.get("path", ""),
            group=wanted.get("group", ""),
            resource=wanted.get("resource", ""),
            subresource=wanted.get("subresource", ""),
            namespace=wanted.get("namespace", ""),
            name=wanted.get("name", ""),
        )
        review = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}}
        allowed = self.authority.allowed(user, attributes)
        return _json(encode({**review, "spec": spec, "status": {"allowed": allowed}}), status=201)

    async def _watch(self, request: web.Request, resource: Resource, target: Target) -> web.StreamResponse:
        selector = self._selector(resource, request.query)
        wish = watches.Wish.of(resource, target.namespace, selector, request.query)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            first, subscription = watches.begin(self.storage, wish)
        except Refused as refusal:
            if self.gone_as_status:
                raise
            await response.prepare(request)
            await response.write(watches.failure(refusal))
            return response
        try:
            await response.prepare(request)
            if first:
                await response.write(b"".join(first))
            async for piece in watches.lines(self.storage, wish, subscription, lambda: self.pace):
                await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            pass  # the client went away
        finally:
            subscription.close()
        return response


def _json(body: bytes, *, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def _object(resource: Resource, stored: Stored, *, status: int = 200) -> web.Response:
    return _json(stored.encoded(resource.api_version, resource.render), status=status)


def _dry(query: Mapping[str, str]) -> bool:
    return query.get("dryRun") == "All"


def _selected_name(query: Mapping[str, str]) -> str:
    """The one name that a field selector asks for: the authoriser takes it for the name of the request."""
    for term in query.get("fieldSelector", "").split(","):
        name, _, value = term.partition("=")
        if name == "metadata.name" and value:
            return value.removeprefix("=")
    return ""


def _require_json(request: web.Request) -> None:
    if request.headers.get("Content-Type") and request.content_type != "application/json":
        raise unsupported_media(BODIES)


def _options(raw: bytes, query: Mapping[str, str]) -> Body:
    """DeleteOptions, from the body; they do not matter beside their preconditions."""
    del query
    try:
        options = json.loads(raw or b"{}")
    except ValueError:
        return {}
    return options if isinstance(options, dict) else {}
