{{- define "kopf-operator.pod" -}}
metadata:
  labels:
    {{- $selected := include "kopf-operator.selectorLabels" . | fromYaml }}
    {{- include "kopf-operator.labelsAnd" (dict "root" . "labels" (merge $selected (default dict .Values.podLabels))) | nindent 4 }}
  annotations:
    {{- $annotations := dict "kubectl.kubernetes.io/default-container" "operator" }}
    {{- with .Values.operator.handlers }}
    {{- $_ := set $annotations "checksum/handlers" (toJson . | sha256sum) }}
    {{- end }}
    {{- mergeOverwrite $annotations (default dict .Values.podAnnotations) | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "kopf-operator.serviceAccountName" . | quote }}
  automountServiceAccountToken: true
  {{- if not (kindIs "invalid" .Values.hostUsers) }}
  hostUsers: {{ .Values.hostUsers }}
  {{- end }}
  terminationGracePeriodSeconds: {{ include "kopf-operator.gracePeriod" . }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ quote . }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with include "kopf-operator.placement" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: operator
      image: {{ include "kopf-operator.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      {{- include "kopf-operator.command" . | nindent 6 }}
      env:
        {{- include "kopf-operator.env" . | nindent 8 }}
        {{- include "kopf-operator.homeEnv" . | nindent 8 }}
        {{- with .Values.extraEnv }}
        {{- tpl (toYaml .) $ | nindent 8 }}
        {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "kopf-operator.probes" . | nindent 6 }}
      {{- with .Values.lifecycle }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        {{- if .Values.operator.handlers }}
        - name: handlers
          mountPath: /handlers
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- if .Values.operator.handlers }}
    - name: handlers
      configMap:
        name: {{ include "kopf-operator.suffixed" (dict "root" . "suffix" "handlers") | quote }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The mounted directory has entries of the kubelet's own, so files are named one by one. */}}
{{- define "kopf-operator.command" -}}
{{- $operator := .Values.operator -}}
{{- if or $operator.modules $operator.paths $operator.handlers -}}
command: [kopf-leader, run]
args:
  {{- range $operator.args }}
  - {{ quote . }}
  {{- end }}
  {{- range $operator.modules }}
  - -m
  - {{ quote . }}
  {{- end }}
  {{- range $operator.paths }}
  - {{ quote . }}
  {{- end }}
  {{- range $name, $source := $operator.handlers }}
  - {{ printf "/handlers/%s" $name }}
  {{- end }}
{{- else -}}
{{- with $operator.command -}}
command:
  {{- toYaml . | nindent 2 }}
{{ end -}}
{{- with $operator.args -}}
args:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Every option is said by the environment, so that it reaches `kopf-leader run` and a stock `kopf run` alike. */}}
{{- define "kopf-operator.env" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: KOPF_RUN_MODULES
  value: kopf_leader.auto
- name: KOPF_RUN_ENABLE_LEADER_ELECTION
  value: {{ .Values.leaderElection.enabled | quote }}
{{- if .Values.leaderElection.enabled }}
- name: KOPF_RUN_LEADER_ELECTION_ID
  value: {{ include "kopf-operator.leaseName" . | quote }}
- name: KOPF_RUN_LEADER_ELECTION_NAMESPACE
  value: {{ include "kopf-operator.leaseNamespace" . | quote }}
- name: KOPF_RUN_LEADER_ELECTION_LEASE_DURATION
  value: {{ .Values.leaderElection.leaseDuration | quote }}
- name: KOPF_RUN_LEADER_ELECTION_RENEW_DEADLINE
  value: {{ .Values.leaderElection.renewDeadline | quote }}
- name: KOPF_RUN_LEADER_ELECTION_RETRY_PERIOD
  value: {{ .Values.leaderElection.retryPeriod | quote }}
{{- if eq .Values.leaderElection.takeover "evidence" }}
- name: KOPF_RUN_LEADER_ELECTION_TAKEOVER
  value: evidence
{{- end }}
{{- end }}
- name: KOPF_RUN_LEADER_ELECTION_DRAIN_TIMEOUT
  value: {{ .Values.leaderElection.drainTimeout | quote }}
- name: KOPF_RUN_HEALTH_PROBE_BIND_ADDRESS
  value: {{ printf ":%d" (int .Values.health.port) | quote }}
{{- if .Values.metrics.enabled }}
- name: KOPF_RUN_METRICS_BIND_ADDRESS
  value: {{ printf ":%d" (int .Values.metrics.port) | quote }}
{{- end }}
{{- if .Values.scope.clusterWide }}
- name: KOPF_RUN_CLUSTERWIDE
  value: "true"
{{- else }}
- name: KOPF_RUN_NAMESPACES
  value: {{ include "kopf-operator.namespaces" . | fromJsonArray | join " " | quote }}
{{- end }}
- name: KOPF_RUN_LOG_FORMAT
  value: {{ .Values.operator.logFormat }}
{{- end -}}

{{/* What extraEnv may say otherwise: a name that stands twice is refused by server-side apply, which is Helm 4's way.
kopf asks for the user's name, which a uid without an entry in /etc/passwd does not have. */}}
{{- define "kopf-operator.homeEnv" -}}
{{- $theirs := dict -}}
{{- range tpl (toYaml .Values.extraEnv) . | fromYamlArray }}{{ $_ := set $theirs .name true }}{{ end -}}
{{- range $name, $value := dict "HOME" "/tmp" "USER" "operator" "PYTHONUNBUFFERED" "1" "PYTHONDONTWRITEBYTECODE" "1" }}
{{- if not (hasKey $theirs $name) }}
- name: {{ quote $name }}
  value: {{ quote $value }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "kopf-operator.probes" -}}
ports:
  - name: health
    containerPort: {{ int .Values.health.port }}
  {{- if .Values.metrics.enabled }}
  - name: metrics
    containerPort: {{ int .Values.metrics.port }}
  {{- end }}
  {{- if .Values.webhooks.enabled }}
  - name: webhooks
    containerPort: {{ int .Values.webhooks.port }}
  {{- end }}
{{- range $kind, $path := dict "livenessProbe" "/livez" "readinessProbe" "/readyz" "startupProbe" "/livez" }}
{{- with get $.Values $kind }}
{{ $kind }}:
  httpGet:
    path: {{ $path }}
    port: health
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* matchLabelKeys: without it the old version's pods are counted, and two new ones may share a node after an update. */}}
{{- define "kopf-operator.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ quote . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ quote . }}
{{- end }}
{{- if kindIs "invalid" .Values.topologySpreadConstraints }}
{{- if include "kopf-operator.several" . }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "kopf-operator.selectorLabels" . | nindent 8 }}
{{- end }}
{{- else }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $constraint := . }}
  {{- if not (hasKey . "labelSelector") }}
  {{- $ours := dict "matchLabels" (include "kopf-operator.selectorLabels" $ | fromYaml) }}
  {{- $constraint = merge (dict "labelSelector" $ours) . (dict "matchLabelKeys" (list "pod-template-hash")) }}
  {{- end }}
  - {{- toYaml $constraint | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}
