{{- define "kopf-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end -}}

{{- define "kopf-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "kopf-operator.name" .) .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- include "kopf-operator.fitted" (dict "base" (printf "%s-%s" .Release.Name (include "kopf-operator.name" .)) "length" 63) -}}
{{- end -}}
{{- end -}}

{{/* A name of at most "length" characters: what is cut off is told apart by a checksum, as two long names may begin alike. */}}
{{- define "kopf-operator.fitted" -}}
{{- if le (len .base) (int .length) -}}
{{- .base -}}
{{- else -}}
{{- printf "%s-%s" (.base | trunc (int (sub .length 9)) | trimSuffix "-") (.base | sha256sum | trunc 8) -}}
{{- end -}}
{{- end -}}

{{/* The full name with a suffix, never above 63 characters: (dict "root" $ "suffix" "…"). */}}
{{- define "kopf-operator.suffixed" -}}
{{- $length := int (sub 62 (len .suffix)) -}}
{{- printf "%s-%s" (include "kopf-operator.fitted" (dict "base" (include "kopf-operator.fullname" .root) "length" $length)) .suffix -}}
{{- end -}}

{{/* The same for what has no namespace: the release's namespace is part of it. */}}
{{- define "kopf-operator.clusterName" -}}
{{- $base := printf "%s-%s-%s" .root.Release.Namespace (include "kopf-operator.fullname" .root) .suffix -}}
{{- include "kopf-operator.fitted" (dict "base" $base "length" 63) -}}
{{- end -}}

{{- define "kopf-operator.releaseLabels" -}}
app.kubernetes.io/name: {{ include "kopf-operator.name" . | quote }}
app.kubernetes.io/instance: {{ quote .Release.Name }}
{{- end -}}

{{/* The operator's pods, and no others: a pod of `helm test` counts for no budget, Service, monitor or spread. */}}
{{- define "kopf-operator.selectorLabels" -}}
{{ include "kopf-operator.releaseLabels" . }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "kopf-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "kopf-operator.releaseLabels" . }}
app.kubernetes.io/version: {{ default .Chart.AppVersion .Values.image.tag | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/managed-by: {{ quote .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The labels with further ones, which win over commonLabels: (dict "root" $ "labels" …). */}}
{{- define "kopf-operator.labelsAnd" -}}
{{- mergeOverwrite (include "kopf-operator.labels" .root | fromYaml) (default dict .labels) | toYaml -}}
{{- end -}}

{{- define "kopf-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "kopf-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is empty: name the service account to use, or set serviceAccount.create to true." .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "kopf-operator.image" -}}
{{- $repository := required "image.repository is empty: set it to an image with kopf, kopf-leader and your operator's dependencies." .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "kopf-operator.leaseName" -}}
{{- default (include "kopf-operator.fullname" .) .Values.leaderElection.id -}}
{{- end -}}

{{- define "kopf-operator.leaseNamespace" -}}
{{- default .Release.Namespace .Values.leaderElection.namespace -}}
{{- end -}}

{{/* Namespaces to serve, as a JSON list. */}}
{{- define "kopf-operator.namespaces" -}}
{{- default (list .Release.Namespace) .Values.scope.namespaces | toJson -}}
{{- end -}}

{{/* Whether the operator is several: strategy, budget and spread follow from it, and from nothing else. */}}
{{- define "kopf-operator.several" -}}
{{- if and .Values.leaderElection.enabled (gt (int .Values.replicaCount) 1) -}}true{{- end -}}
{{- end -}}

{{/* A duration in seconds, as a number: 15, "15", "15s", "1m30s", "500ms": (dict "key" "…" "value" …). */}}
{{- define "kopf-operator.seconds" -}}
{{- $text := toString .value -}}
{{- if regexMatch "^[0-9]+([.][0-9]+)?$" $text -}}
{{- $text -}}
{{- else if not (regexMatch "^([0-9]+([.][0-9]+)?(h|ms|m|s))+$" $text) -}}
{{- fail (printf "%s is %q, which is no duration: write seconds (15) or a text with units (\"15s\", \"1m30s\")." .key $text) -}}
{{- else -}}
{{- $factors := dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9]+([.][0-9]+)?(h|ms|m|s)" $text -1 -}}
{{- $sum = addf $sum (mulf (float64 (regexFind "^[0-9.]+" .)) (get $factors (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}
{{- end -}}

{{/* Seconds that stopping may take: a sleep before SIGTERM, the drain, and kopf's own five seconds for hung tasks. */}}
{{- define "kopf-operator.stopping" -}}
{{- $drain := float64 (include "kopf-operator.seconds" (dict "key" "leaderElection.drainTimeout" "value" .Values.leaderElection.drainTimeout)) -}}
{{- addf (dig "preStop" "sleep" "seconds" 0 (default dict .Values.lifecycle)) $drain 5.0 -}}
{{- end -}}

{{/* Seconds from the first sign to SIGKILL: the stopping, the release, and some to spare. */}}
{{- define "kopf-operator.gracePeriod" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- max 30 (int (ceil (addf (include "kopf-operator.stopping" .) 15.0))) -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
