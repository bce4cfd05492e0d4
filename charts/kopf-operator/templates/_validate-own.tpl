{{/* What the user adds must not be what the chart says already: server-side apply refuses it twice, and else the last wins. */}}
{{- define "kopf-operator.validateOwn" -}}
{{- $values := dict
  "POD_NAME" "" "POD_NAMESPACE" ""
  "KOPF_RUN_MODULES" "operator.modules"
  "KOPF_RUN_ENABLE_LEADER_ELECTION" "leaderElection.enabled"
  "KOPF_RUN_LEADER_ELECTION_ID" "leaderElection.id"
  "KOPF_RUN_LEADER_ELECTION_NAMESPACE" "leaderElection.namespace"
  "KOPF_RUN_LEADER_ELECTION_LEASE_DURATION" "leaderElection.leaseDuration"
  "KOPF_RUN_LEADER_ELECTION_RENEW_DEADLINE" "leaderElection.renewDeadline"
  "KOPF_RUN_LEADER_ELECTION_RETRY_PERIOD" "leaderElection.retryPeriod"
  "KOPF_RUN_LEADER_ELECTION_DRAIN_TIMEOUT" "leaderElection.drainTimeout"
  "KOPF_RUN_LEADER_ELECTION_TAKEOVER" "leaderElection.takeover"
  "KOPF_RUN_HEALTH_PROBE_BIND_ADDRESS" "health.port"
  "KOPF_RUN_METRICS_BIND_ADDRESS" "metrics.enabled and metrics.port"
  "KOPF_RUN_CLUSTERWIDE" "scope.clusterWide"
  "KOPF_RUN_NAMESPACES" "scope.namespaces"
  "KOPF_RUN_LOG_FORMAT" "operator.logFormat" -}}
{{- $seen := dict -}}
{{- range tpl (toYaml .Values.extraEnv) . | fromYamlArray -}}
{{- if hasKey $values .name -}}
{{- $value := get $values .name -}}
{{- fail (printf "extraEnv has %s, which the chart sets: take it out%s." .name (ternary "" (printf ", and set %s" $value) (empty $value))) -}}
{{- end -}}
{{- include "kopf-operator.once" (dict "seen" $seen "name" .name "key" "extraEnv" "what" "variable") -}}
{{- end -}}
{{- if or .Values.operator.modules .Values.operator.paths .Values.operator.handlers -}}
{{- $short := dict "-A" "scope.clusterWide" "--all-namespaces" "scope.clusterWide" "-n" "scope.namespaces" "--namespace" "scope.namespaces" "-m" "operator.modules" "--module" "operator.modules" -}}
{{- range .Values.operator.args -}}
{{- $flag := regexFind "^(-[Anm]|--[a-z-]+)" . -}}
{{- $variable := printf "KOPF_RUN_%s" ($flag | trimPrefix "--" | trimPrefix "no-" | replace "-" "_" | upper) -}}
{{- $value := default (get $values $variable) (get $short $flag) -}}
{{- if $value -}}
{{- fail (printf "operator.args has %s, which wins over what the chart sets: take it out, and set %s." $flag $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key := tuple "commonLabels" "podLabels" -}}
{{- range $label, $_ := default dict (get $.Values $key) -}}
{{- if or (hasKey (include "kopf-operator.selectorLabels" $ | fromYaml) $label) (has $label (tuple "helm.sh/chart" "app.kubernetes.io/managed-by" "app.kubernetes.io/version")) -}}
{{- fail (printf "%s has %s, by which the chart and Helm find their objects: take it out, or choose another label." $key $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $volumes := dict "tmp" true "handlers" true -}}
{{- range .Values.extraVolumes -}}
{{- include "kopf-operator.once" (dict "seen" $volumes "name" .name "key" "extraVolumes" "what" "volume") -}}
{{- end -}}
{{- $places := dict "/tmp" true "/handlers" true -}}
{{- range .Values.extraVolumeMounts -}}
{{- include "kopf-operator.once" (dict "seen" $places "name" (trimSuffix "/" .mountPath) "key" "extraVolumeMounts" "what" "mount at") -}}
{{- if not (hasKey $volumes .name) -}}
{{- fail (printf "extraVolumeMounts mounts %q, which is no volume: add it to extraVolumes." (toString .name)) -}}
{{- end -}}
{{- end -}}
{{- $containers := dict "operator" true -}}
{{- range concat (default list .Values.initContainers) (default list .Values.extraContainers) -}}
{{- include "kopf-operator.once" (dict "seen" $containers "name" .name "key" "initContainers or extraContainers" "what" "container") -}}
{{- end -}}
{{- end -}}

{{/* (dict "seen" <names, added to> "name" … "key" … "what" …) */}}
{{- define "kopf-operator.once" -}}
{{- if not .name -}}
{{- fail (printf "%s has a %s without a name: name it." .key .what) -}}
{{- end -}}
{{- if hasKey .seen .name -}}
{{- fail (printf "%s has a %s %q, and there is one already: choose another name, or take it out." .key .what .name) -}}
{{- end -}}
{{- $_ := set .seen .name true -}}
{{- end -}}

{{/* What the API server would refuse later, or take for something else. */}}
{{- define "kopf-operator.validateNames" -}}
{{- range $key := tuple "nameOverride" "fullnameOverride" -}}
{{- with get $.Values $key -}}
{{- if gt (len .) 63 -}}
{{- fail (printf "%s has %d characters: shorten it to 63, the most that a name of Kubernetes has." $key (len .)) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" .) -}}
{{- fail (printf "%s is %q, which is no name for objects: use small letters, digits and dashes, a letter first." $key .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $name := include "kopf-operator.fullname" . -}}
{{- if and .Values.webhooks.enabled (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name)) -}}
{{- fail (printf "webhooks.enabled makes a Service, and %q is no name for one: set fullnameOverride to small letters, digits and dashes, a letter first." $name) -}}
{{- end -}}
{{- range $key, $name := dict "leaderElection.id" .Values.leaderElection.id "serviceAccount.name" .Values.serviceAccount.name -}}
{{- if and $name (or (gt (len $name) 253) (not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" $name))) -}}
{{- fail (printf "%s is %q, which is no name for an object: use small letters, digits, dashes and dots, 253 characters at most." $key $name) -}}
{{- end -}}
{{- end -}}
{{- $image := .Values.image -}}
{{- if regexMatch "@|\\s|:[^/]*$" (default "" $image.repository) -}}
{{- fail (printf "image.repository is %q: leave its tag and its digest out, and set image.tag or image.digest." $image.repository) -}}
{{- end -}}
{{- if not (regexMatch "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$" (default "" $image.tag | toString)) -}}
{{- fail (printf "image.tag is %q, which is no tag: a digest goes into image.digest." (toString $image.tag)) -}}
{{- end -}}
{{- $ports := dict -}}
{{- range tuple "health" "metrics" "webhooks" -}}
{{- $port := toString (get $.Values .).port -}}
{{- if or (eq . "health") (get $.Values .).enabled -}}
{{- if not (get $.Values .).port -}}
{{- fail (printf "%s.port is empty: set it to a port." .) -}}
{{- end -}}
{{- if hasKey $ports $port -}}
{{- fail (printf "%s.port and %s are both %s: give them different ports." . (get $ports $port) $port) -}}
{{- end -}}
{{- $_ := set $ports $port (printf "%s.port" .) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.scope.clusterWide -}}
{{- range .Values.rbac.rules -}}
{{- if .nonResourceURLs -}}
{{- fail "rbac.rules has nonResourceURLs, which no Role can grant in a namespace: move that rule to rbac.clusterRules." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
